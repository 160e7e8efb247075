"""Import and every lossless pass keep what a model computes."""

from pathlib import Path

import pytest

from graph_ir.passes import PASSES
from graph_ir.passes.pipeline import LOSSLESS, run_lossless
from tests.graph_ir.numerics import assert_equal_outputs
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS

# A random draw is compared with nothing but its shape elsewhere.
NAMES = sorted(TINY_MODELS)


@pytest.mark.parametrize("name", NAMES)
def test_import_keeps_outputs(name, load_tiny, tmp_path: Path) -> None:
    source, model = load_tiny(name)
    assert_equal_outputs(source, model.graph_model, tmp_path, TINY_DIMS.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_each_pass_keeps_outputs(name, load_tiny, tmp_path: Path) -> None:
    source, model = load_tiny(name)
    for step in LOSSLESS:
        step.apply(model.graph_model)
        assert_equal_outputs(source, model.graph_model, tmp_path, TINY_DIMS.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_pipeline_reaches_a_fixed_point(name, load_tiny, tmp_path: Path) -> None:
    source, model = load_tiny(name)
    run_lossless(model.graph_model)
    assert_equal_outputs(source, model.graph_model, tmp_path, TINY_DIMS.get(name))
    assert [r.details for r in run_lossless(model.graph_model) if r.changes] == []


def test_registry_names_each_pass() -> None:
    assert {name: kind.name for name, kind in PASSES.items()} == {name: name for name in PASSES}
    assert {step.name for step in LOSSLESS} == set(PASSES)
