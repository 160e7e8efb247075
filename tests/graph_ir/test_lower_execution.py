"""Every op, cut out and executed alone in order, reproduces the whole model."""

import pytest

from graph_ir.errors import InputError
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from tests.graph_ir.lowering_support import check_workload, run_op_by_op
from tests.graph_ir.numerics import assert_close, open_session, outputs_of, seeded_inputs
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS

# Draws random numbers, which no accelerator's op does.
RANDOM = "common_subexpressions"
NAMES = sorted(set(TINY_MODELS) - {RANDOM})
NOTHING_STREAMED: frozenset[str] = frozenset()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lossless", [False, True])
def test_ops_reproduce_the_model(name, lossless, load_tiny) -> None:
    source, model = load_tiny(name)
    if lossless:
        run_lossless(model.graph_model)
    lowered = lower(model)
    check_workload(lowered)
    reference = open_session(source, TINY_DIMS.get(name))
    feeds = seeded_inputs(reference, TINY_DIMS.get(name))
    assert_close(run_op_by_op(model.graph_model, lowered, feeds), outputs_of(reference, feeds))


@pytest.mark.parametrize("name", NAMES)
def test_without_streamed_views(name, load_tiny) -> None:
    source, model = load_tiny(name)
    lowered = lower(model, streamed=NOTHING_STREAMED)
    check_workload(lowered)
    reference = open_session(source, TINY_DIMS.get(name))
    feeds = seeded_inputs(reference, TINY_DIMS.get(name))
    assert_close(run_op_by_op(model.graph_model, lowered, feeds), outputs_of(reference, feeds))


def test_op_without_a_rule_is_refused(load_tiny) -> None:
    _, model = load_tiny(RANDOM)
    with pytest.raises(InputError, match=r"no lowering rule for op Random\w+ \(node .+\)"):
        lower(model)
