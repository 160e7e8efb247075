"""A pair of an input and an output that is a state becomes one tensor, updated in place."""

import pytest

from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.targets import load_target
from accelerator_sim.validate import find_violations
from graph_ir.errors import InputError
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import save_model
from graph_ir.states import state_names
from graph_ir.workload import Role, TensorKind
from runtime.verify_graph import check_plan_matches_graph, read_graph
from tests.states.graphs import HEADS, SLOTS, WIDTH, cache_model

STATE_BYTES = HEADS * SLOTS * WIDTH * 2
ROW_BYTES = HEADS * WIDTH * 2


@pytest.mark.parametrize("scatter", ["ScatterND", "TensorScatter"])
def test_a_row_is_written_in_place(tmp_path, scatter):
    workload = lower(cache_model(tmp_path, scatter=scatter)).workload
    (state,) = [t for t in workload.tensors if t.kind is TensorKind.STATE]
    assert (state.name, state.written_as) == ("past", "present")
    assert (state.start, state.end, state.size_bytes) == (0, len(workload.ops), STATE_BYTES)
    assert all(t.name != "present" for t in workload.tensors)
    assert workload.state_bytes == STATE_BYTES
    uses = {
        (op.name, o.role.value, o.traffic_bytes, o.fresh)
        for op in workload.ops
        for o in op.operands
        if workload.tensors[o.tensor] is state
    }
    # Keys and values are one tensor here: read once, both in one operand.
    assert uses == {("write", "output", ROW_BYTES, False), ("mixed", "right", STATE_BYTES, True)}
    write = next(op for op in workload.ops if op.name == "write")
    assert write.rows * write.columns == HEADS * WIDTH


def test_without_metadata_caches_are_inputs_and_outputs(tmp_path):
    workload = lower(cache_model(tmp_path, states=None)).workload
    kinds = {t.name: t.kind for t in workload.tensors}
    assert kinds["past"] is kinds["present"] is TensorKind.IO
    write = next(op for op in workload.ops if op.name == "write")
    assert [o.traffic_bytes for o in write.operands if o.role is Role.OUTPUT] == [STATE_BYTES]


def test_the_metadata_survives_passes_and_files(tmp_path):
    model = cache_model(tmp_path)
    run_lossless(model.graph_model)
    save_model(model.graph_model, tmp_path, "again")
    assert state_names(model.graph_model) == (("past", "present"),)
    assert "egrl.states" in (tmp_path / "again.onnx").read_bytes().decode("latin-1")


def test_the_plan_names_the_state_before_and_after(tmp_path):
    model = cache_model(tmp_path)
    workload = lower(model).workload
    problem = build_problem(workload, load_target("nnp-i"))
    homes = [int(problem.allowed_TH[t].nonzero()[0][-1]) for t in range(problem.tensor_count)]
    plan = build_plan(problem, homes, simulate(problem, homes))
    assert find_violations(plan) == []
    tensors = {tensor.name: tensor for tensor in plan.tensors}
    assert tensors["present"].alias_of == "past"
    (past,) = tensors["past"].residences
    assert (past.start, past.end) == (0, len(plan.ops))
    ops = {op.name: op for op in plan.ops}
    assert ops["write"].writes == ["present"]
    assert "past" in ops["write"].reads
    assert "present" in ops["mixed"].reads
    assert "past" not in ops["mixed"].reads
    save_model(model.graph_model, tmp_path, "main")
    check_plan_matches_graph(plan, read_graph(tmp_path / "main.onnx"), "plan")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"states": "[["}, "expected a JSON list of [input, output] names"),
        ({"states": '{"past": "present"}'}, "expected a JSON list of [input, output] names"),
        ({"states": '[["past"]]'}, "expected a JSON list of [input, output] names"),
        ({"states": '[["past", 3]]'}, "expected a JSON list of [input, output] names"),
        ({"states": [("past", "nothing")]}, "expected the names of an input and of an output"),
        ({"states": [("y", "present")]}, "expected the names of an input and of an output"),
        ({"states": [("x", "present")]}, "expected one type and shape"),
        ({"states": [("past", "present")] * 2}, "in one pair only"),
        ({"reads": "past"}, "expected that nothing reads it after 'present' was written"),
    ],
)
def test_wrong_states_are_one_line(tmp_path, changes, expected):
    model = cache_model(tmp_path, **changes)
    with pytest.raises(InputError) as error:
        lower(model)
    text = str(error.value)
    assert expected.replace("'", "") in text.replace("'", "").replace('"', "")
    assert "\n" not in text


def test_a_negative_context_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected 0 or more filled positions, got -1"):
        lower(cache_model(tmp_path), context=-1)
