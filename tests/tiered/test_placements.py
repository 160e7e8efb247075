"""Placements to be ranked: all different, all plans, spread from the best to the slowest."""

import numpy as np
import onnx

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import build_problem
from accelerator_sim.validate import find_violations
from egrl.bench.tiered_host import memory_choice
from egrl.bench.tiered_placements import candidates
from egrl.placers.base import Budget
from graph_ir.load import load_model
from graph_ir.lower import lower
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS
from tests.tiered.machines import tiny_machine


def test_candidates_are_plans_from_best_to_slowest(tmp_path) -> None:
    onnx.save(TINY_MODELS["bert_layer"](), tmp_path / "m.onnx")
    model = load_model(tmp_path / "m.onnx", TINY_DIMS.get("bert_layer", {}))
    workload = lower(model, "main", "fp32", frozenset()).workload
    problem = build_problem(workload, tiny_machine())
    found = candidates(problem, 12, Budget(evaluations=200), np.random.default_rng(0))
    assert len(found) >= 12
    assert len({candidate.homes_T.tobytes() for candidate in found}) == len(found)
    for candidate in found:
        assert evaluate(problem, candidate.homes_T) == (candidate.latency_s, 0)
        assert find_violations(candidate.plan) == []
    latency_s = {candidate.origin: candidate.latency_s for candidate in found}
    # The best may be a reference's; the slowest is everything in the outermost memory.
    assert min(latency_s.values()) < 0.8 * latency_s["all-outermost"]
    between = [c for c in found if c.latency_s < 0.999 * latency_s["all-outermost"]]
    assert len(between) >= 10
    again = candidates(problem, 12, Budget(evaluations=200), np.random.default_rng(0))
    assert [c.homes_T.tobytes() for c in again] == [c.homes_T.tobytes() for c in found]


def test_memories_are_shares_of_what_is_held_at_once(tmp_path) -> None:
    onnx.save(TINY_MODELS["bert_layer"](), tmp_path / "m.onnx")
    model = load_model(tmp_path / "m.onnx", TINY_DIMS.get("bert_layer", {}))
    workload = lower(model, "main", "fp32", frozenset()).workload
    (file, slow), fast_bytes = memory_choice(workload, 1e-5)
    assert workload.weight_bytes * 0.4 <= slow.capacity_bytes < file.capacity_bytes
    assert file.bytes_per_s < slow.bytes_per_s
    assert (1 << 20) + workload.weight_bytes * 0.3 <= fast_bytes
