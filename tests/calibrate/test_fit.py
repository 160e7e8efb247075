"""Fitting gives back what synthetic measurements were made of."""

from dataclasses import replace

import numpy as np
import pytest

from accelerator_sim.cost.variants import variants_of
from accelerator_sim.quantity import Quantity
from accelerator_sim.targets import parse_target
from egrl.bench.tiered_stats import agreement, repeatability, spearman, spread
from egrl.calibration.fit import Observation, family_rates, launch_overhead
from egrl.calibration.from_ops import mac_family, rates_from_ops
from egrl.calibration.machine import host_accelerator
from egrl.calibration.measure import rates_of
from egrl.calibration.timing import timing_of
from egrl.calibration.toml_text import accelerator_toml
from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.workload import Workload
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS
from tests.tiered.machines import host_rates, known


def synthetic(family: str, rate: float, launch_s: float, ops: int = 1) -> list[Observation]:
    return [
        Observation(family, f"{peak_s}", peak_s, 0.0, peak_s / rate + ops * launch_s, ops)
        for peak_s in (1e-4, 3e-4, 2e-3)
    ]


def test_rates_come_back_exactly() -> None:
    seen = [*synthetic("conv", 0.7, 2e-6, 3), *synthetic("softmax", 0.05, 2e-6)]
    rates = family_rates(seen, 2e-6)
    assert {name: rate.value for name, rate in rates.items()} == pytest.approx(
        {"conv": 0.7, "softmax": 0.05}, rel=1e-12
    )
    assert all("3 shapes" in rate.source for rate in rates.values())


def test_one_bad_shape_moves_nothing() -> None:
    seen = [*synthetic("conv", 0.7, 0.0), Observation("conv", "odd", 1e-3, 0.0, 1.0)]
    seen += [Observation("conv", "other", 1e-3, 0.0, 1e-3 / 0.7)]
    assert family_rates(seen, 0.0)["conv"].value == pytest.approx(0.7, rel=1e-12)


def test_shapes_that_memory_binds_do_not_count() -> None:
    seen = [
        *synthetic("elementwise", 0.5, 0.0),
        Observation("elementwise", "big", 1e-4, 9e-3, 1e-2),
    ]
    rate = family_rates(seen, 0.0)["elementwise"]
    assert rate.value == pytest.approx(0.5, rel=1e-12)
    assert "1 more were bound by memory" in rate.source
    assert family_rates(seen[-1:], 0.0) == {}


def test_what_only_moves_bytes_has_no_rate() -> None:
    assert family_rates([Observation("movement", "copy", 0.0, 1e-4, 1e-3)], 0.0) == {}


def test_launch_is_the_slope_of_chains() -> None:
    per_op, beside = launch_overhead(
        {8: 2e-5 + 8 * 7e-7, 32: 2e-5 + 32 * 7e-7, 64: 2e-5 + 64 * 7e-7}
    )
    assert per_op == pytest.approx(7e-7, rel=1e-9)
    assert beside == pytest.approx(2e-5, rel=1e-9)
    assert launch_overhead({8: 2e-5, 64: 1e-5})[0] == 0.0


def test_vector_work_beside_the_products_is_taken_out() -> None:
    """Each op takes its products at 0.8 and then its epilogue at the elementwise rate of 0.2."""
    seen = [*synthetic("vector:elementwise", 0.2, 1e-6)]
    seen += [
        Observation("mac:conv", "c", peak_s, 0.0, peak_s / 0.8 + 1e-4 / 0.2 + 2e-6, 2, 1e-4, "conv")
        for peak_s in (1e-3, 2e-3)
    ]
    rates = rates_of(host_rates(), seen, known(1e-6))
    assert rates.mac_rate["conv"].value == pytest.approx(0.8, rel=1e-9)
    assert rates.vector_rate["conv"].value == pytest.approx(0.2, rel=1e-9)
    assert rates.vector_rate["conv"].assumed


def test_processors_do_one_thing_after_the_other(workload: Workload) -> None:
    rates = host_rates()
    apart = host_accelerator(rates, "test", serial_units=False)
    serial = host_accelerator(rates, "test")
    for op in workload.ops:
        overlapping, in_turn = variants_of(op, apart)[0], variants_of(op, serial)[0]
        assert overlapping.compute_s == max(overlapping.mac_s, overlapping.vector_s)
        assert in_turn.compute_s == pytest.approx(overlapping.mac_s + overlapping.vector_s)


def test_int8_is_relative_to_fp32_of_the_same_family() -> None:
    seen = [
        *synthetic("mac:matmul", 0.8, 0.0), *synthetic("mac:int8", 1.2, 0.0),
        *synthetic("vector:softmax", 0.1, 0.0),
    ]  # fmt: skip
    rates = rates_of(host_rates(), seen, known(0.0))
    assert rates.int8_rate is not None
    assert rates.int8_rate.value == pytest.approx(1.5, rel=1e-12)
    assert sorted(rates.mac_rate) == ["matmul"]
    assert sorted(rates.vector_rate) == ["attention", "softmax"]


@pytest.fixture(params=["resnet_bottleneck", "bert_layer"])
def workload(request: pytest.FixtureRequest, tmp_path) -> Workload:
    import onnx

    name = str(request.param)
    onnx.save(TINY_MODELS[name](), tmp_path / "m.onnx")
    model = load_model(tmp_path / "m.onnx", TINY_DIMS.get(name, {}))
    return lower(model, "main", "fp32", frozenset()).workload


def test_rates_of_ops_come_back_exactly(workload: Workload) -> None:
    rates = replace(host_rates(), mac_rate={}, vector_rate={})
    peak = host_accelerator(rates, "test", serial_units=False)
    measured = []
    for op in workload.ops:
        variant = variants_of(op, peak)[0]
        rate = 0.4 if op.mac_work else 0.25
        measured.append((variant.mac_s if op.mac_work else variant.vector_s) / rate)
    fitted = rates_from_ops(workload, peak, measured, "test")
    assert [q.value for q in fitted.mac.values()] == pytest.approx([0.4] * len(fitted.mac))
    assert set(fitted.mac) == {mac_family(op) for op in workload.ops if op.mac_work}
    for quantity in fitted.vector.values():
        assert quantity.value == pytest.approx(0.25, rel=1e-9)


def test_the_file_reads_back_as_what_was_written() -> None:
    accelerator = host_accelerator(host_rates(), 'a "quoted" name\twith\\escapes \x7f é')
    text = accelerator_toml(accelerator)
    assert parse_target(text, "test.toml") == accelerator
    again = accelerator_toml(parse_target(text, "test.toml"))
    assert parse_target(again, "test.toml") == accelerator


def test_no_number_is_lost_in_the_file() -> None:
    value = 0.1 + 0.2
    rates = host_rates()
    accelerator = host_accelerator(rates, "test")
    assert accelerator.vector_unit.family_rate["softmax"] == Quantity(0.1, source="test")
    changed = accelerator.vector_unit.family_rate | {"softmax": known(value)}
    accelerator.vector_unit.family_rate.update(changed)
    again = parse_target(accelerator_toml(accelerator), "test.toml")
    assert again.vector_unit.family_rate["softmax"].value == value


def test_rank_correlation_by_hand() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 40]) == 1.0
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == -1.0
    # Ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15).
    assert spearman([1, 2, 3, 4], [2, 1, 4, 3]) == pytest.approx(0.6)
    # Ties take their mean rank: 1, 2.5, 2.5, 4.
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert spearman([1, 1, 1], [1, 2, 3]) == 0.0
    with pytest.raises(ValueError, match="same length"):
        spearman([1, 2], [1, 2, 3])


def test_agreement_and_noise_by_hand() -> None:
    found = agreement([1.0, 2.0, 3.0], [2.2, 2.0, 6.0])
    assert found.best_excess == pytest.approx(0.1)
    assert found.bias == pytest.approx(0.5)
    assert found.error == pytest.approx(0.5)
    rounds = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.2, 2.4, 3.6], [1.0, 2.0, 3.0]])
    assert repeatability(rounds) == 1.0
    assert spread(rounds) == pytest.approx(0.05)


def test_a_timing_sums_up_its_runs() -> None:
    timing = timing_of([4.0, 1.0, 3.0, 2.0, 5.0])
    assert (timing.least_s, timing.median_s, timing.most_s) == (1, 3, 5)
    assert timing.runs == 5
