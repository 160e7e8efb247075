"""What the accelerator is charged for attentions that keep by content."""

from graph_ir.kv.step import step_graph
from graph_ir.lower import lower
from graph_ir.workload import TensorKind
from tests.decoder.tiny import tiny_decoder
from tests.kv.test_scored import BUFFER
from tests.kv.test_scored import layout_of as scored_layout
from tests.kv.test_select import GROWTH, KEEP, layout_of
from tests.kv.test_shared import shared_layout

DECODER = tiny_decoder(layers=1)


def attention(layout, rows=1, context=100):
    """Columns of the first product, vector operations, and bytes read and written by state."""
    lowered = lower(step_graph(DECODER, layout, rows, "onnxruntime"), context=context)
    (op,) = (op for op in lowered.workload.ops if op.mac_work and "attention" in op.name)
    moved = {}
    for operand in op.operands:
        tensor = lowered.workload.tensors[operand.tensor]
        if tensor.kind is TensorKind.STATE:
            part = tensor.name.rsplit(".", 1)[-1]
            moved[part, operand.is_write] = operand.traffic_bytes
    return op.mac_work[0].columns, op.vector_ops, moved


def test_heads_that_share_are_multiplied_with_the_slots_of_all():
    columns, vector, moved = attention(layout_of([(0, 1)]))
    shared_columns, shared_vector, shared = attention(shared_layout(2))
    assert columns == KEEP + GROWTH
    assert (shared_columns, shared_vector) == (2 * columns, 2 * vector)
    assert {key: shared[key] for key in moved} == moved
    assert shared.keys() - moved.keys() == {("ends", False), ("ends", True)}


def test_a_buffer_is_read_and_counts_are_written_whole():
    columns, _, moved = attention(scored_layout((0, 1)))
    assert columns == BUFFER
    width = DECODER.layers[0].head_width
    assert moved["key", False] == moved["unimportant", False] * width
    assert moved["unimportant", True] == moved["unimportant", False]
    assert moved["key", True] * BUFFER == moved["key", False]
    # A chunk attends to its own rows beside the buffer.
    assert attention(scored_layout((0, 1)), rows=4)[0] == BUFFER + 4
    assert attention(scored_layout((0, 1)), context=5)[0] == 6
