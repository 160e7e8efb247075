import pytest
from hypothesis import given
from hypothesis import strategies as st

from egrl.audit.cost import compile_costs
from egrl.audit.parts import problem_from_parts
from egrl.audit.problem import (
    Combination,
    ExtraTime,
    Measured,
    ProblemOp,
    ProblemTensor,
    ProblemTier,
    Stream,
)
from tests.audit.oracle import direct_seconds, problems

TIERS = (ProblemTier("dram", 10.0, 5.0), ProblemTier("sram", 100.0, 50.0, 1000, 0.25))
TENSORS = (ProblemTensor("w", "weight", 100, 0, 1), ProblemTensor("h", "activation", 50, 0, 1))


def one_op(**fields):
    op = ProblemOp("op", reads=[Stream("w", 100)], writes=[Stream("h", 50)], **fields)
    return compile_costs(problem_from_parts(TIERS, TENSORS, [op]))


@pytest.mark.parametrize(
    ("homes", "seconds"),
    [
        ((0, 0), 1 + 100 / 10 + 50 / 5),  # one tier: its streams share it
        ((0, 1), 1 + 100 / 10),  # two tiers: side by side
        ((1, 0), 1 + 50 / 5),
        ((1, 1), 1 + max(2.0, 100 / 100 + 50 / 50 + 2 * 0.25)),  # latency once for each stream
    ],
)
def test_streams_by_hand(homes, seconds):
    assert one_op(compute_s=2.0, fixed_s=1.0).seconds(homes) == pytest.approx(seconds)


def test_compute_hides_streams_but_not_the_fixed_time():
    assert one_op(compute_s=90.0, fixed_s=1.0).seconds((0, 0)) == 91.0


def test_measured_extras_by_hand():
    extra = [ExtraTime("w", "dram", 3.0), ExtraTime("w", "sram", -1.0)]
    table = one_op(compute_s=99.0, measured=Measured(5.0, extra))
    assert table.seconds((0, 1)) == 8.0
    assert table.seconds((1, 0)) == 4.0


def test_combinations_come_before_the_fallback():
    combinations = [Combination({"w": "dram", "h": "sram"}, 0.5)]
    table = one_op(measured=Measured(None, [], combinations))
    assert table.seconds((0, 1)) == 0.5
    assert table.seconds((0, 0)) == 20.0
    with_base = one_op(measured=Measured(7.0, [], combinations))
    assert with_base.seconds((0, 0)) == 7.0


@given(problem=problems(max_ops=6, max_tensors=8), data=st.data())
def test_compiled_costs_are_those_of_the_definition(problem, data):
    table = compile_costs(problem)
    homes = [data.draw(st.sampled_from(tiers)) for tiers in table.allowed_T]
    names = {
        tensor.name: problem.tiers[home].name
        for tensor, home in zip(problem.tensors, homes, strict=True)
    }
    assert table.seconds(homes) == pytest.approx(direct_seconds(problem, names))
    for rule in table.rules_N:
        assert rule.least(table.allowed_T) <= min(table.enumerate_times(rule).values()) + 1e-9


def test_tensors_that_make_no_difference_leave_the_table():
    combinations = [
        Combination({"w": w, "h": h}, 3.0 if w == "dram" else 1.0)
        for w in ("dram", "sram")
        for h in ("dram", "sram")
    ]
    table = one_op(measured=Measured(None, [], combinations))
    assert table.rules_N[0].tensors == (0,)
    assert table.ops_T == ((0,), ())
    assert [table.seconds(homes) for homes in ((0, 0), (0, 1), (1, 0), (1, 1))] == [3, 3, 1, 1]
    same = [Combination(c.homes, 2.0) for c in combinations]
    assert one_op(measured=Measured(None, [], same)).rules_N[0].tensors == ()
