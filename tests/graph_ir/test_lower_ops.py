"""Every op with a rule lowers, and the op cut out computes what the model does."""

import numpy as np
import onnxruntime as ort
import pytest

from graph_ir.lower import lower
from graph_ir.op_rules.families import FAMILIES
from tests.graph_ir.independent_macs import count_macs
from tests.graph_ir.lowering_support import check_workload, run_op_by_op
from tests.graph_ir.numerics import open_session, outputs_of, seeded_inputs
from tests.graph_ir.one_op_models import EXAMPLES, one_op_model, one_op_proto

# Counted by the fused node alone, in a form that the independent count does not know.
OWN_MACS = {
    "com.microsoft::Attention": 2 * 6 * 8 * 24 + 2 * 2 * (6 * 4 * 6) * 2,
    "com.microsoft::FusedConv": 8 * 4 * 6 * 4 * 9,
    "com.microsoft::FusedGemm": 6 * 8 * 5,
    "com.microsoft::GroupQueryAttention": 2 * (2 * 6 * 8 * 6),
    "com.microsoft::MatMulIntegerToFloat": 2 * 6 * 8 * 5,
}
# onnxruntime has no CPU kernel, or none for these inputs.
NOT_RUN = {"com.microsoft::BiasAdd"}


def test_every_rule_has_an_example() -> None:
    # Those of our own domain are tested with the graphs that have them (tests/states).
    assert sorted(EXAMPLES) == sorted(op for op in FAMILIES if not op.startswith("egrl::"))


@pytest.mark.parametrize("op", sorted(EXAMPLES))
def test_one_op(op: str) -> None:
    model = one_op_model(op)
    lowered = lower(model)
    check_workload(lowered)
    (only,) = lowered.workload.ops
    assert only.nodes == ("op",)
    view = lower(model, streamed=frozenset()).workload.ops[0].family
    assert only.family is FAMILIES[op] or (only.family, view) == ("movement", "movement")
    if op in OWN_MACS:
        assert only.macs == OWN_MACS[op]
    else:
        assert only.macs == count_macs(one_op_proto(op)).get("op", 0)
    try:
        session = open_session(one_op_proto(op))
    except ort.capi.onnxruntime_pybind11_state.NotImplemented:
        assert op in NOT_RUN
        return
    assert op not in NOT_RUN
    feeds = seeded_inputs(session)
    expected = outputs_of(session, feeds)
    got = run_op_by_op(model, lowered, feeds)
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value)
