"""Micro-models are what they say: of their family, loadable, with something to measure."""

import re
from dataclasses import replace

import pytest

from accelerator_sim.problem import build_problem
from egrl.calibration.from_ops import mac_family
from egrl.calibration.machine import host_accelerator, vector_bytes
from egrl.calibration.measure import _feeds, _lowered, observe_all
from egrl.calibration.memory import cache_bytes, clock_hz
from egrl.calibration.micro_models import Micro, micro_models
from egrl.calibration.predict import cached_homes, predict
from egrl.calibration.timing import make_timed_session
from tests.tiered.machines import host_rates, known

MICROS = micro_models()


def smallest(family: str) -> Micro:
    chosen = [m for m in MICROS if m.family == family]
    return min(chosen, key=lambda m: (len(m.proto.SerializeToString()), m.label))


@pytest.mark.parametrize("micro", MICROS, ids=lambda m: f"{m.family} {m.label}")
def test_a_micro_model_measures_its_family(micro: Micro) -> None:
    workload = _lowered(micro)
    families = {mac_family(op) if op.mac_work else op.family.value for op in workload.ops}
    if micro.family == "int8":
        assert any(w.left_type == "int8" for op in workload.ops for w in op.mac_work)
    elif micro.family == "recurrent":
        assert {op.family.value for op in workload.ops} <= {"recurrent", "movement"}
    else:
        assert families == {micro.family}
    assert micro.is_mac == (micro.family in ("conv", "depthwise", "matmul", "attention", "int8"))
    predicted = predict(workload, host_accelerator(host_rates(), "test"))
    assert predicted.latency_s > 0.0


@pytest.mark.parametrize("family", sorted({m.family for m in MICROS}))
def test_onnxruntime_executes_the_smallest(family: str) -> None:
    micro = smallest(family)
    session = make_timed_session(micro.proto.SerializeToString(), 1)
    assert session.run(None, dict(_feeds(micro.proto)))[0].size > 0


def test_an_observation_has_a_peak_and_a_time() -> None:
    (seen,) = observe_all([smallest("softmax")], host_accelerator(host_rates(), "test"), 1, 0.01)
    assert seen.family == "vector:softmax"
    assert seen.peak_s > 0.0
    assert 0.0 < seen.measured_s < 10.0


def test_weights_larger_than_the_cache_stay_in_memory() -> None:
    workload = _lowered(smallest("matmul"))
    rates = host_rates()
    large = build_problem(workload, host_accelerator(rates, "test"))
    assert set(cached_homes(large)) >= {1}
    weights = [t for t, tensor in enumerate(workload.tensors) if tensor.kind == "weight"]
    assert all(cached_homes(large)[t] == 1 for t in weights)
    cache = replace(rates.cache, capacity_bytes=known(workload.weight_bytes + 64))
    small = build_problem(workload, host_accelerator(replace(rates, cache=cache), "test"))
    assert all(cached_homes(small)[t] == 0 for t in weights)


def test_flags_and_caches_are_read(tmp_path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nflags : fpu avx2 sse2\n", "utf-8")
    assert vector_bytes(info) == 32
    info.write_text("flags : avx2 avx512f\n", "utf-8")
    assert vector_bytes(info) == 64
    assert vector_bytes(tmp_path / "none") == 16
    for index, (level, kind, size) in enumerate(
        [("1", "Data", "32K"), ("2", "Unified", "512K"), ("3", "Unified", "32M")]
    ):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(text + "\n", "utf-8")
    assert cache_bytes("2", 1, tmp_path).value == 512 * 1024
    assert cache_bytes("3", 1, tmp_path).value == 32 << 20
    assert cache_bytes("4", 77, tmp_path).value == 77
    assert cache_bytes("4", 77, tmp_path).assumed


def test_the_clock_is_one_of_a_processor() -> None:
    # Very loose: a loaded or emulated machine may be slow, but no clock is folded away.
    assert 5e7 < clock_hz().value < 2e10
    assert re.search("measured", clock_hz().source)
