"""Every failure is one line on stderr and an exit code."""

import os
import subprocess
import sys

import pytest

import egrl.cli.main
from egrl.cli.errors import guarded
from egrl.cli.main import main
from graph_ir.errors import EgrlError, InputError, UnmetRequirementError


class OtherError(EgrlError):
    """A subclass without an exit code of its own."""


@pytest.fixture(autouse=True)
def without_traceback(monkeypatch):
    monkeypatch.delenv("EGRL_TRACEBACK", raising=False)


def failing(error: BaseException):
    def execute() -> int:
        raise error

    return execute


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("a.onnx: expected x, got y"), 2, "a.onnx: expected x, got y"),
        (UnmetRequirementError("tier full"), 3, "tier full"),
        (OtherError("strange"), 1, "strange"),
        (InputError("one\nline"), 2, "one line"),
        (InputError("caf\u00e9 \udcff"), 2, None),
        (MemoryError(), 2, "out of memory: the input is too large for this machine"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (FileNotFoundError(2, "No such file", "x.csv"), 2, "x.csv: No such file"),
        (OSError("disk on fire"), 2, "disk on fire"),
    ],
)
def test_expected_failures(error, code, message, capsys):
    assert guarded(failing(error)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("egrl: error: ")
    assert captured.err.count("\n") == 1
    if message is not None:
        assert captured.err == f"egrl: error: {message}\n"


def test_details_of_an_unmet_requirement_follow_indented(capsys):
    error = UnmetRequirementError("SRAM: does not fit", ("demand 5 MiB", "capacity 4 MiB"))
    assert guarded(failing(error)) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["egrl: error: SRAM: does not fit", "  demand 5 MiB", "  capacity 4 MiB"]


def test_a_bug_is_one_line_that_says_how_to_see_more(capsys, monkeypatch):
    assert guarded(failing(ZeroDivisionError("division\nby zero"))) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "internal error: ZeroDivisionError: division by zero" in err
    assert "EGRL_TRACEBACK=1" in err
    monkeypatch.setenv("EGRL_TRACEBACK", "1")
    assert guarded(failing(ZeroDivisionError("division by zero"))) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert (
        err.splitlines()[-1] == "egrl: error: internal error: ZeroDivisionError: division by zero"
    )


def test_the_code_of_the_command_is_passed_on():
    assert guarded(lambda: 0) == 0
    assert guarded(lambda: 3) == 3


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "required: VERB"),
        (["nope"], "invalid choice: 'nope'"),
        (["compile", "m.onnx"], "compile: the following arguments are required: --target"),
        (["compile", "m.onnx", "--targ", "nnp-i", "-o", "x"], "--target"),
        (["compile", "m.onnx", "--target", "t", "-o", "x", "--seed", "-1"], "--seed"),
        (["compile", "m.onnx", "--target", "t", "-o", "x", "--dim", "n"], "--dim n: expected"),
        (["compile", "m.onnx", "--target", "t", "-o", "x", "--dim", "n=0"], "--dim n=0: expected"),
        (
            ["compile", "m.onnx", "--target", "t", "-o", "x", "--dim", "n=1", "--dim", "n=2"],
            "given twice",
        ),
        (
            ["compile", "m.onnx", "--target", "t", "-o", "x", "--evaluator-jobs", "2"],
            "--evaluator ",
        ),
        (["compile", "m.onnx", "--target", "t", "-o", "x", "--evaluator-timeout", "0s"], "above 0"),
        (["simulate", "m.onnx", "--csv", "no/such/folder.csv"], "no folder"),
        (["run", "a.egrl", "--inputs", "i.npz", "-o", "no/such/o.npz"], "no folder"),
        (["run", "a.egrl", "--inputs", "i.npz", "-o", "o.npz", "--threads", "x"], "--threads"),
        (["run", "no.egrl", "--inputs", "i.npz", "-o", "o.npz"], "no.egrl"),
        (["inspect", "no.egrl"], "no.egrl"),
        (["verify", "no.egrl"], "no.egrl"),
        (["audit", "no.json"], "no.json"),
        (["audit", "no.json", "--select", "x"], "--select x: expected NAME=VALUE"),
        (["audit", "no.json", "--budget", "nan"], "expected seconds above 0, got 'nan'"),
        (["targets", "--show", "no-such"], "target no-such: unknown"),
        (["targets", "--check", "nnp-i"], "nnp-i: cannot be read"),
        (["bench", "no-such"], "invalid choice: 'no-such'"),
        (["allocate", "no.csv", "--capacity", "10", "-o", "x.csv"], "no.csv"),
        (["allocate", "no.csv", "--capacity", "10 MB", "-o", "x.csv"], "--capacity"),
    ],
)
def test_wrong_command_lines(arguments, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("egrl: error: ")
    assert part in captured.err
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_closes_early_gets_no_complaint():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "egrl", "targets", "--show", "nnp-i"],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert result.stderr == b""
    assert result.returncode == 141


def test_output_to_a_full_disk_is_an_error():
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "egrl", "targets"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 2
    assert result.stderr.splitlines() == ["egrl: error: No space left on device"]


def test_names_that_the_terminal_cannot_show_are_escaped():
    result = subprocess.run(
        [sys.executable, "-m", "egrl", "inspect", b"caf\xc3\xa9-\xff"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 2
    assert b"caf\\xe9-\\udcff" in result.stderr


def test_run_exits_with_the_code(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["egrl", "nope"])
    with pytest.raises(SystemExit) as stop:
        egrl.cli.main.run()
    assert stop.value.code == 2
