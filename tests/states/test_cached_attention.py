"""What a step with caches reads, writes and computes, by hand."""

import pytest

from graph_ir.kv.layout import HeadGroup, KvLayout, full_layout
from graph_ir.kv.step import step_graph
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.workload import OpFamily, TensorKind
from tests.decoder.tiny import tiny_decoder

CONTEXT = 64
WINDOW, SINKS = 8, 2
KEPT = WINDOW + SINKS
QUERY_HEADS, KV_HEADS, WIDTH = 4, 2, 8
FP16 = 2


def pruned(compensation=True):
    windowed = HeadGroup((1,), WINDOW, SINKS, compensation)
    return KvLayout(CONTEXT, ((HeadGroup((0,)), windowed),) * 2)


def step(layout, rows, context, windows=()):
    model = step_graph(tiny_decoder(windows=windows), layout, rows, "standard")
    run_lossless(model)
    return lower(model, "decode", context=context).workload


def attentions(workload):
    return [op for op in workload.ops if op.family is OpFamily.ATTENTION]


def moved(workload, op, is_write):
    return {
        workload.tensors[o.tensor].name: o.traffic_bytes
        for o in op.operands
        if workload.tensors[o.tensor].kind is TensorKind.STATE and o.is_write is is_write
    }


def filled(group, positions):
    """Slots of a group after so many positions, counted one by one."""
    held = set()
    for position in range(positions):
        if group == 0 or position < SINKS:
            held.add(position)
        else:
            held.add(SINKS + (position - SINKS) % WINDOW)
    dropped = group == 1 and positions > KEPT
    return len(held) + int(dropped)


def test_every_attention_is_one_op_and_caches_are_states_only():
    workload = step(pruned(), 1, None)
    assert len(attentions(workload)) == 2
    states = [t for t in workload.tensors if t.kind is TensorKind.STATE]
    assert [t.name for t in states[:4]] == [
        "cache.0.0.key", "cache.0.0.value", "cache.0.1.key", "cache.0.1.value"
    ]  # fmt: skip
    assert states[0].written_as == "next.0.0.key"
    slots = CONTEXT + 1 + KEPT
    assert workload.state_bytes == 2 * 2 * slots * WIDTH * FP16
    io = {t.name for t in workload.tensors if t.kind is TensorKind.IO}
    assert io <= {"input_ids", "past_length", "logits"}


@pytest.mark.parametrize("context", [0, 1, 5, 9, 10, 11, 40, 63])
@pytest.mark.parametrize("rows", [1, 4])
def test_reads_follow_what_is_filled(context, rows):
    workload = step(pruned(), rows, context)
    for op in attentions(workload):
        for name, size in moved(workload, op, False).items():
            group = int(name.split(".")[2])
            assert size == filled(group, context) * WIDTH * FP16, name


@pytest.mark.parametrize("context", [0, 5, 9, 10, 40])
@pytest.mark.parametrize("rows", [1, 4])
def test_writes_are_the_rows_and_the_compensation(context, rows):
    workload = step(pruned(), rows, context)
    (first, _) = attentions(workload)
    folds = context + rows > KEPT
    for name, size in moved(workload, first, True).items():
        group = int(name.split(".")[2])
        assert size == (rows + int(folds and group == 1)) * WIDTH * FP16


@pytest.mark.parametrize(("rows", "context"), [(1, 0), (1, 20), (4, 0), (4, 20)])
def test_products_are_of_what_is_filled(rows, context):
    workload = step(pruned(), rows, context)
    heads = QUERY_HEADS // KV_HEADS
    keys = [context + rows, filled(1, context) + rows]
    if rows == 1:
        keys[1] = min(KEPT + 1, keys[1])
    expected = sum(2 * heads * rows * k * WIDTH for k in keys)
    assert [op.macs for op in attentions(workload)] == [expected] * 2


def test_full_groups_grow_and_windowed_ones_stop():
    full, windowed = [], []
    for context in (16, 32, 48):
        sizes = moved(step(pruned(), 1, context), attentions(step(pruned(), 1, context))[0], False)
        full.append(sizes["cache.0.0.key"])
        windowed.append(sizes["cache.0.1.key"])
    assert full == [16 * WIDTH * FP16, 32 * WIDTH * FP16, 48 * WIDTH * FP16]
    assert len(set(windowed)) == 1


def test_no_context_means_full_caches():
    layout = full_layout(CONTEXT, (KV_HEADS,) * 2)
    everything, explicit = step(layout, 1, None), step(layout, 1, CONTEXT)
    assert everything == explicit
    sizes = moved(everything, attentions(everything)[0], False)
    assert set(sizes.values()) == {CONTEXT * KV_HEADS * WIDTH * FP16}


def test_a_sliding_layer_reads_what_it_sees():
    workload = step(full_layout(CONTEXT, (KV_HEADS,) * 2), 1, 40, windows=(4, 0))
    sliding, whole = attentions(workload)
    row = KV_HEADS * WIDTH * FP16
    assert set(moved(workload, sliding, False).values()) == {3 * row}
    assert set(moved(workload, whole, False).values()) == {40 * row}


def test_folding_costs_vector_work_only_once_something_is_dropped():
    def vector(compensation, context):
        return attentions(step(pruned(compensation), 1, context))[0].vector_ops

    assert vector(True, KEPT - 1) == vector(False, KEPT - 1)
    # One more slot is attended to (7 operations a score), and two entries are folded.
    more = (QUERY_HEADS // KV_HEADS) * 7 + 2 * 2 * WIDTH * 2
    assert vector(True, 40) - vector(False, 40) == more


@pytest.mark.parametrize(("bits", "stored"), [(8, "int8"), (4, "int4")])
def test_integer_caches_are_widened_and_multiplied_as_what_they_are(bits, stored):
    layout = full_layout(CONTEXT, (KV_HEADS,) * 2, bits)
    workload = step(layout, 1, 40)
    op = attentions(workload)[0]
    entries = moved(workload, op, False)
    key = 40 * KV_HEADS * WIDTH * bits // 8
    assert entries["cache.0.0.key"] == entries["cache.0.0.value"] == key
    # Scale and least value of each entry, as float16.
    assert entries["cache.0.0.key_scale"] == 40 * KV_HEADS * 2 * 2
    assert {work.right_type for work in op.mac_work} == {stored}
    assert op.dequantize_ops == 2 * 2 * 40 * KV_HEADS * WIDTH
    plain = attentions(step(full_layout(CONTEXT, (KV_HEADS,) * 2), 1, 40))[0]
    assert plain.dequantize_ops == 0
    assert op.macs == plain.macs
    assert op.vector_ops > plain.vector_ops


def test_both_forms_of_the_graph_are_the_same_workload():
    def workload(form):
        model = step_graph(tiny_decoder(), pruned(), 1, form)
        run_lossless(model)
        return lower(model, "decode", context=40).workload

    standard, fast = (attentions(workload(form)) for form in ("standard", "onnxruntime"))
    assert [op.mac_work for op in standard] == [op.mac_work for op in fast]
    assert [op.vector_ops for op in standard] == [op.vector_ops for op in fast]
