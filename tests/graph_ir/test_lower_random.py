"""Any graph: its ops partition the work, run in order, and compute what the graph does."""

import onnx
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_ir.fusion.fuse import fuse
from graph_ir.lower import lower
from tests.graph_ir.independent_macs import count_macs
from tests.graph_ir.lowering_support import check_workload, relative_error, run_op_by_op
from tests.graph_ir.numerics import open_session, outputs_of, seeded_inputs
from tests.graph_ir.random_graphs import random_models

VIEWS = ("Transpose", "Slice", "Split", "Expand")


@settings(max_examples=120)
@given(random_models(), st.sets(st.sampled_from(VIEWS)))
def test_groups_partition_the_graph(proto: onnx.ModelProto, chosen: set[str]) -> None:
    streamed = frozenset(chosen)
    model = ir.from_proto(proto)
    groups = fuse(model, streamed).groups
    members = [node.name for group in groups for node in group.members]
    assert len(members) == len(set(members))
    views = {node.name for group in groups for node in group.nodes} - set(members)
    lowered = lower(model, streamed=streamed)
    check_workload(lowered)
    counted = count_macs(proto)
    live = {node.name for node in model.graph if _reaches_an_output(node)}
    assert set(members) | views == live
    assert lowered.workload.macs == sum(counted.get(name or "", 0) for name in live)
    kinds = {node.name: node.op_type for node in model.graph}
    assert not {kinds[name] for name in views} & (set(VIEWS) - streamed)


@settings(max_examples=40)
@given(random_models())
def test_ops_compute_what_the_graph_does(proto: onnx.ModelProto) -> None:
    model = ir.from_proto(proto)
    session = open_session(proto)
    feeds = seeded_inputs(session)
    expected = outputs_of(session, feeds)
    got = run_op_by_op(model, lower(model), feeds)
    for name, value in expected.items():
        # Half a quantization step where sums were added in another order.
        assert relative_error(got[name], value) <= 1e-4


def _reaches_an_output(node: ir.Node) -> bool:
    pending, seen = [node], {node}
    while pending:
        for value in pending.pop().outputs:
            if value.is_graph_output():
                return True
            fresh = [usage.node for usage in value.uses() if usage.node not in seen]
            seen.update(fresh)
            pending.extend(fresh)
    return False
