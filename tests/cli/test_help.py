"""The help is quick, and the verbs and flags are those that the design states."""

import argparse
import resource
import subprocess
import sys

import pytest

from egrl.cli.main import make_parser

HEAVY = (
    "highspy", "msgspec", "networkx", "numba", "numpy", "onnx", "onnx_ir", "onnxruntime", "rich",
    "torch", "torch_geometric",
)  # fmt: skip

# The command line is an interface: a flag is added here on purpose or not at all.
FLAGS = {
    "compile": [
        "model", "--target", "--precision", "--compress", "--decode", "--context", "--chunk",
        "--tokenizer", "--eos", "--kv-form", "--calibration",
        "--max-error", "--max-bytes", "--placer", "--placer-config", "--budget", "--seed",
        "--dim", "--constraints",
        "--evaluator", "--evaluator-repeats", "--evaluator-timeout", "--evaluator-jobs",
        "--write-problem", "-o", "--out",
    ],
    "simulate": [
        "sources", "--target", "--precision", "--placer", "--budget", "--seed", "--groups", "--dim",
        "--advice", "--no-advice", "--html", "--markdown", "--trace", "--csv", "--json",
    ],
    "sweep": [
        "model", "--vary", "--target", "--precision", "--placer", "--budget", "--seed", "--dim",
        "--processes", "-o", "--out", "--html", "--json",
    ],
    "train": [
        "config", "--workload", "--target", "--precision", "--dim", "--agent", "--steps", "--seed",
        "--schedule", "--ablation", "--evaluator", "--evaluator-repeats", "--evaluator-timeout",
        "--evaluator-jobs", "--machine", "--jobs", "--resume", "-o", "--out",
    ],
    "run": [
        "artifact", "--inputs", "-o", "--out", "--check-plan", "--profile", "--repeat", "--json",
        "--graph", "--threads",
    ],
    "generate": [
        "artifact", "--prompt", "--prompt-file", "--tokens", "--max-tokens", "--temperature",
        "--top-p", "--seed", "--session", "--threads", "--json",
    ],
    "inspect": ["artifact"],
    "verify": ["artifact"],
    "audit": [
        "problem", "--plan", "--json", "--pins", "--import", "--capacity", "--select",
        "--write-problem", "--budget",
    ],
    "allocate": ["problem", "--capacity", "-o", "--out"],
    "targets": ["--show", "--check"],
    "calibrate": ["-o", "--out", "--threads", "--seconds"],
    "passes": [],
    "placers": [],
    "bench": [
        "suite", "-o", "--out", "--folder", "--model", "--target", "--seconds", "--long-seconds",
        "--part", "--method", "--precision", "--seeds", "--evaluations", "--jobs", "--again",
        "--merge", "--rewrite",
    ],
}  # fmt: skip


def verbs() -> dict[str, argparse.ArgumentParser]:
    (action,) = [
        action
        for action in make_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    return dict(action.choices)


def test_the_flag_list():
    found = {
        name: [
            flag
            for action in parser._actions
            if not isinstance(action, argparse._HelpAction)
            for flag in (action.option_strings or [action.dest])
        ]
        for name, parser in verbs().items()
    }
    assert found == FLAGS


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["compile", "--help"], ["nope"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from egrl.cli.main import main\n"
        f"main({arguments!r})\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stderr.splitlines()[-1] == "[]"


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, egrl; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


def test_help_takes_less_than_half_a_second():
    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    # Processor time, since the machine may be busy; the first run may compile bytecode.
    seconds = []
    for _ in range(2):
        before = used()
        subprocess.run([sys.executable, "-m", "egrl", "--help"], capture_output=True, check=True)
        seconds.append(used() - before)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("verb", FLAGS)
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        make_parser().parse_args([verb, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for flag in FLAGS[verb]:
        assert not flag.startswith("-") or flag in out
