from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.allocate import Buffer, allocate
from accelerator_sim.infeasible import explain
from tests.allocate.strategies import buffer_lists


def test_names_the_critical_op_and_the_largest() -> None:
    weights = [Buffer(f"w{i}", 0, 3, 100 * i, 64) for i in range(1, 12)]
    act = Buffer("act", 1, 2, 5000, 64)
    found = explain(
        "sram",
        [*weights, act],
        4096,
        op_names=("a", "b", "c"),
        kinds={"act": "activation", **{w.name: "weight" for w in weights}},
        levers=("--precision int8",),
    )
    assert found is not None
    # Rounded up to 64 each, all but the topmost; the one with most rounding may be the topmost.
    demand = sum(-(-b.size_bytes // 64) * 64 for b in [*weights, act]) - 60
    assert found.demand_bytes == demand
    assert found.gap_bytes == demand - 4096
    assert found.at == "op 'b'"
    assert [c.name for c in found.top[:3]] == ["act", "w11", "w10"]
    assert found.top[0].kind == "activation"
    assert (found.others, found.others_bytes) == (4, 100 + 200 + 300 + 400)
    error = found.to_error()
    assert error.exit_code == 3
    assert "\n" not in str(error)
    assert f"What would help: a capacity of at least {demand} bytes" in error.details
    assert "What would help: --precision int8" in error.details


@given(buffer_lists(alignments=(1, 2, 4, 6)), st.integers(0, 2000))
def test_explains_exactly_what_the_allocator_proves_by_demand(
    buffers: list[Buffer], capacity: int
) -> None:
    found = explain("x", buffers, capacity)
    result = allocate(buffers, capacity, node_budget=0)
    if found is None:
        assert result.feasible or result.exhausted
    else:
        assert not result.feasible
        assert capacity < found.demand_bytes <= result.height_bytes


def test_nothing_to_explain() -> None:
    assert explain("x", [], 0) is None
    assert explain("x", [Buffer("a", 0, 1, 5)], 5) is None
