"""`python -m egrl`."""

from egrl.cli.main import run

if __name__ == "__main__":
    run()
