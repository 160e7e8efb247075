"""Every suite of `egrl bench` exists and is described."""

import inspect
from importlib import import_module

import pytest

from egrl.bench.options import BenchOptions
from egrl.cli.bench import SUITES
from egrl.cli.main import main


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_a_function_of_the_options(suite):
    run = import_module(SUITES[suite]).run
    (parameter,) = inspect.signature(run).parameters.values()
    assert parameter.annotation in (BenchOptions, "BenchOptions")


@pytest.mark.parametrize("suite", ["placement", "engine", "numerics"])
def test_without_models_it_says_what_to_build(suite, tmp_path, capsys):
    arguments = ["bench", suite, "--folder", str(tmp_path), "-o", str(tmp_path / "out.md")]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "scripts/models" in err
    assert list(tmp_path.iterdir()) == []
