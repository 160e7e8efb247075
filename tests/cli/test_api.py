"""The package's functions are those of the command line, whatever was imported before."""

import subprocess
import sys

import pytest

import egrl


def test_every_public_name_exists_and_is_documented():
    for name in egrl.__all__:
        thing = getattr(egrl, name)
        assert name == "__version__" or thing.__doc__, name
        assert name in dir(egrl)
    assert set(egrl.__all__) == {*egrl._PUBLIC, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = egrl.nothing


@pytest.mark.parametrize("first", ["egrl.api", "egrl.cli.main", "egrl.placers", "egrl.audit.audit"])
def test_verbs_are_functions_in_any_order_of_imports(first):
    code = f"import {first}, egrl; print(callable(egrl.compile), callable(egrl.simulate))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "True True\n"
