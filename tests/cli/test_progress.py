"""Progress goes to stderr: a bar on a terminal, plain lines elsewhere."""

import io
import math

from egrl.cli import progress as module
from egrl.cli.progress import line_text, shown_progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_elsewhere_every_new_message_is_a_line(monkeypatch):
    clock = iter([0.0, 0.1, 0.2, 1.5, 1.6])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    with shown_progress("compile", "30s", stream) as report:
        report("references", math.inf)
        report("improved", 2e-3)
        report("improved", 1e-3)
        report("improved", 5e-4)
        report("bound", 5e-4)
    assert stream.getvalue().splitlines() == [
        "compile: references",
        "compile: improved, best 2 ms",
        "compile: improved, best 500 us",
        "compile: bound, best 500 us",
    ]


def test_on_a_terminal_a_bar_is_drawn_and_removed():
    for budget in ("30s", "4000ev", "nonsense"):
        stream = Terminal()
        with shown_progress("compile", budget, stream) as report:
            report("improved [bold]\x1b[31m", 2e-3)
        text = stream.getvalue()
        assert "best 2 ms" in text
        assert "[bold]" in text
        assert "\x1b[31m" not in text.replace("\\x1b", "")


def test_stdout_is_left_alone(capsys):
    with shown_progress("compile", "30s") as report:
        report("improved", 1.0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "compile: improved, best 1 s\n"


def test_only_real_latencies_are_shown():
    assert line_text("begin", math.inf) == "begin"
    assert line_text("begin", math.nan) == "begin"
    assert line_text("begin", 0.0) == "begin"
