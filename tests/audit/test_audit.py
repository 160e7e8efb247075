import json

import msgspec
import pytest
from hypothesis import given, settings

from egrl.audit.addresses import MAX_FAULTS, check_addresses, pack
from egrl.audit.audit import audit
from egrl.audit.cost import compile_costs
from egrl.audit.parts import problem_from_parts
from egrl.audit.plan import Home, IndexedPlan, TheirPlan, index_plan, parse_plan
from egrl.audit.problem import ProblemOp, ProblemTensor, ProblemTier, Stream
from egrl.audit.search import first_fit
from egrl.audit.text import MAX_NAME, audit_text, bytes_text, pins_toml, printable, seconds_text
from graph_ir.errors import InputError, UnmetRequirementError
from tests.audit.oracle import direct_feasible, direct_optimum, direct_seconds, problems


def chain(capacity_bytes=1000, names=("w0", "w1", "w2")):
    """Three ops, a weight each, of which two fit."""
    tiers = [ProblemTier("dram", 1e3, 1e3), ProblemTier("sram", 1e6, 1e6, capacity_bytes)]
    tensors = [ProblemTensor(name, "weight", 400, 0, 3, 16) for name in names]
    ops = [
        ProblemOp(f"op{i}", reads=[Stream(name, 400.0 * (i + 1))]) for i, name in enumerate(names)
    ]
    return problem_from_parts(tiers, tensors, ops, name="chain")


def plan(**homes):
    return TheirPlan(1, homes)


def test_a_bad_plan_by_hand():
    result = audit(chain(), plan(w0="sram", w1="sram", w2="dram"))
    assert result.plan.source == "given"
    assert result.plan.fits
    assert result.plan.latency_s == pytest.approx(1.2 + 4e-4 + 8e-4)
    best_s = 0.4 + 8e-4 + 12e-4
    assert result.best.latency_s == pytest.approx(best_s)
    assert result.bound_s == pytest.approx(best_s, rel=1e-5)
    assert result.bound_s <= best_s
    assert result.bound_status == "optimal"
    assert result.plan.gap == pytest.approx(1.2012 / best_s - 1, rel=1e-4)
    assert result.best.homes == {"w0": "dram", "w1": "sram", "w2": "sram"}
    assert result.best.addresses_found
    [move] = result.moves
    assert [(c.tensor, c.from_tier, c.to_tier) for c in move.changes] == [
        ("w2", "dram", "sram"),
        ("w0", "sram", "dram"),
    ]
    assert move.gain_s == pytest.approx(result.plan.latency_s - best_s)
    assert move.gain_share == pytest.approx(move.gain_s / result.plan.latency_s)
    assert move.latency_after_s == pytest.approx(best_s)
    assert result.pins == {"w2": "sram", "w0": "dram"}
    assert result.closable_s == pytest.approx(move.gain_s)
    text = audit_text(result)
    assert "w2: dram -> sram, w0: sram -> dram" in text
    assert '"w2" = "sram"' in text


def test_the_best_plan_has_nothing_to_gain():
    result = audit(chain(), plan(w0="dram", w1="sram", w2="sram"))
    assert result.moves == []
    assert result.pins == {}
    assert result.plan.gap == pytest.approx(0, abs=1e-5)
    assert result.best.source == "the judged plan"
    assert "is the best that was found" in audit_text(result)


def test_a_plan_over_capacity_is_a_result():
    result = audit(chain(), plan(w0="sram", w1="sram", w2="sram"))
    assert not result.plan.fits
    assert result.plan.gap is None
    assert result.closable_s is None
    [over] = result.plan.overflows
    assert (over.tier, over.peak_bytes, over.over_bytes, over.op) == ("sram", 1200, 200, "op0")
    assert over.ops_over == 3
    assert over.largest == ["w0", "w1", "w2"]
    assert [(c.tensor, c.to_tier) for c in result.repair] == [("w0", "dram")]
    assert result.pins == {"w0": "dram"}
    text = audit_text(result)
    assert "does not fit" in text
    assert "200 bytes too many" in text


def test_a_plan_that_breaks_a_pin_does_not_fit():
    problem = chain()
    pinned = msgspec.structs.replace(problem, pins={"w0": "sram"})
    result = audit(pinned, plan(w0="dram", w1="sram", w2="dram"))
    assert not result.plan.fits
    assert result.plan.misplaced == ["w0"]
    assert result.plan.gap is None
    assert result.best.homes["w0"] == "sram"


def test_without_a_plan_first_fit_stands_in():
    result = audit(chain(), None)
    assert result.plan.source == "first-fit"
    assert result.plan.latency_s == pytest.approx(1.2 + 4e-4 + 8e-4)
    assert "first-fit plan stands in" in audit_text(result)


def test_no_plan_fits():
    tiers = [ProblemTier("dram", 1.0, 1.0, 100), ProblemTier("sram", 9.0, 9.0, 100)]
    tensors = [ProblemTensor(f"t{i}", "weight", 70, 0, 1) for i in range(3)]
    problem = problem_from_parts(tiers, tensors, [ProblemOp("op")])
    with pytest.raises(UnmetRequirementError, match="no plan fits") as caught:
        audit(problem, None)
    assert any("210 bytes live" in line for line in caught.value.details)
    pinned = msgspec.structs.replace(problem, pins={"t0": "dram", "t1": "dram"})
    with pytest.raises(UnmetRequirementError) as caught:
        audit(pinned, None)
    assert any("40 too many" in line for line in caught.value.details)


def test_placement_that_hardly_matters_says_so():
    tiers = [ProblemTier("dram", 1e3, 1e3), ProblemTier("sram", 1e6, 1e6, 500)]
    tensors = [ProblemTensor(f"w{i}", "weight", 400, 0, 2) for i in range(2)]
    ops = [ProblemOp(f"op{i}", 0.4, 0.1, [Stream(f"w{i}", 400.0 + i)]) for i in range(2)]
    text = audit_text(audit(problem_from_parts(tiers, tensors, ops), None))
    assert "placement hardly matters here" in text


@given(problem=problems())
@settings(max_examples=40)
def test_audit_of_anything(problem):
    """What is said of a random problem is true by the definition."""
    table = compile_costs(problem)
    homes = dict(zip(table.tensor_names_T, first_fit(table), strict=True))
    given_plan = TheirPlan(1, {name: table.tier_names_M[home] for name, home in homes.items()})
    result = audit(problem, given_plan, time_limit_s=20.0)
    optimum = direct_optimum(problem)
    assert result.bound_s <= optimum * (1 + 1e-12)
    assert result.best.latency_s <= optimum * (1 + 1.1e-3) + 1e-9
    assert result.bound_s <= result.best.latency_s <= result.plan.latency_s
    assert direct_feasible(problem, result.best.homes)
    assert direct_seconds(problem, result.best.homes) == pytest.approx(result.best.latency_s)
    assert result.plan.fits
    walked = dict(given_plan.homes)
    for move in result.moves:
        for change in move.changes:
            assert walked[change.tensor] == change.from_tier
            walked[change.tensor] = change.to_tier
        assert direct_feasible(problem, walked)
        assert direct_seconds(problem, walked) == pytest.approx(move.latency_after_s)
    assert all(walked[name] == tier for name, tier in result.pins.items())
    assert len(result.moves) <= 5
    again = audit(problem, given_plan, time_limit_s=20.0)
    assert msgspec.json.encode(again) == msgspec.json.encode(result)
    assert audit_text(result)


def test_plans_from_strangers():
    table = compile_costs(chain())
    for document, where in (
        ({"schema": 2, "homes": {}}, "$.schema"),
        ({"schema": 1}, "homes"),
        ({"schema": 1, "homes": {"w0": 1}}, "$.homes"),
        ({"schema": 1, "homes": {"w0": {"tier": "sram", "offset": -1}}}, "offset"),
        ({"schema": 1, "homes": {"x": "sram"}}, "$.homes['x']"),
        ({"schema": 1, "homes": {"w0": "cache"}}, "$.homes['w0']"),
        ({"schema": 1, "homes": {"w0": "sram"}}, "none for 'w1' (2 missing in all)"),
    ):
        with pytest.raises(InputError) as caught:
            index_plan(table, parse_plan(json.dumps(document), "t.json"), "t.json")
        assert where in str(caught.value)
        assert str(caught.value).startswith("t.json: ")
    with pytest.raises(InputError, match="given twice"):
        parse_plan('{"schema": 1, "homes": {"a": "x", "a": "y"}}', "t.json")


def offsets(*values, tier=1):
    return IndexedPlan((tier,) * len(values), values)


def test_addresses_that_are_right():
    table = compile_costs(chain())
    assert check_addresses(table, offsets(0, 400, None)) == ([], 0)
    assert check_addresses(table, IndexedPlan((1, 0, 1), (0, 0, 400))) == ([], 0)


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ((0, 384, None), ["overlap"]),
        ((0, 0, None), ["overlap"]),
        ((0, 401, None), ["misaligned"]),
        ((0, 608, None), ["out of range"]),
        ((0, 16, 32), ["overlap", "overlap", "overlap"]),
        ((8, 400, None), ["misaligned", "overlap"]),
    ],
)
def test_addresses_that_are_wrong(values, faults):
    found, count = check_addresses(compile_costs(chain()), offsets(*values))
    assert [fault.fault for fault in found] == faults
    assert count == len(faults)


def test_overlap_in_bytes_but_not_in_time_is_reuse():
    tensors = [ProblemTensor(f"h{i}", "activation", 100, i, i + 1) for i in range(2)]
    tiers = [ProblemTier("sram", 1.0, 1.0, 100)]
    problem = problem_from_parts(tiers, tensors, [ProblemOp("a"), ProblemOp("b")])
    table = compile_costs(problem)
    assert check_addresses(table, offsets(0, 0, tier=0)) == ([], 0)
    assert pack(table, (0, 0)) == (0, 0)


def test_packing_keeps_the_alignment():
    tensors = [ProblemTensor(f"t{i}", "weight", 10, 0, 1, 16) for i in range(2)]
    tiers = [ProblemTier("sram", 1.0, 1.0, 26)]
    table = compile_costs(problem_from_parts(tiers, tensors, [ProblemOp("op")]))
    assert pack(table, (0, 0)) == (0, 16)
    small = [ProblemTier("sram", 1.0, 1.0, 25)]
    table = compile_costs(problem_from_parts(small, tensors, [ProblemOp("op")]))
    assert pack(table, (0, 0)) is None


def test_many_faults_are_counted_but_not_all_listed():
    names = tuple(f"w{i}" for i in range(30))
    tiers = [ProblemTier("dram", 1.0, 1.0)]
    tensors = [ProblemTensor(name, "weight", 1, 0, 1) for name in names]
    table = compile_costs(problem_from_parts(tiers, tensors, [ProblemOp("op")]))
    found, count = check_addresses(table, offsets(*([0] * 30), tier=0))
    assert len(found) == MAX_FAULTS
    assert count == 30 * 29 // 2


def test_a_plan_with_wrong_addresses_does_not_fit():
    homes = {"w0": Home("sram", 0), "w1": Home("sram", 16), "w2": Home("dram")}
    result = audit(chain(), TheirPlan(1, homes))
    assert not result.plan.fits
    assert result.plan.overflows == []
    assert result.plan.address_fault_count == 1
    assert result.plan.addressed == 2
    assert result.plan.gap is not None
    assert result.moves
    assert "'w0' and 'w1' share bytes [16, 400)" in audit_text(result)


@given(problem=problems(max_ops=6, max_tensors=8))
def test_packed_addresses_pass_the_check(problem):
    table = compile_costs(problem)
    homes = tuple(first_fit(table))
    packed = pack(table, homes)
    if packed is not None:
        assert check_addresses(table, IndexedPlan(homes, packed)) == ([], 0)


def test_names_are_printed_safely():
    nasty = "a\x1b[31m\n"
    result = audit(chain(names=(nasty, "w1", "w2")), None)
    assert "\x1b" not in audit_text(result)
    long = printable("a" * 200 + " constants")
    assert len(long) == MAX_NAME
    assert long.startswith("aaa")
    assert long.endswith("a constants")


def test_pins_are_toml():
    import tomllib

    pins = {'quote"back\\slash': "sram", "tab\tdel\x7f": "dram", "é.dots": "sram"}
    assert tomllib.loads(pins_toml(pins))["pins"] == pins


def test_units():
    assert seconds_text(1.5) == "1.5 s"
    assert seconds_text(2.5e-5) == "25 us"
    assert seconds_text(0.0) == "0 ns"
    assert bytes_text(1536) == "1.50 KiB"
    assert bytes_text(7) == "7 B"
