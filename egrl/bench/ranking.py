"""`egrl bench ranking`: does the engine order placements as the detailed model does?

Both judge the same placements of a model on a target, from random to the best known. What counts
is the order (Spearman's rank correlation), and what following the engine costs: the detailed
model's latency of the placement that the engine holds for the best, over the least that the
detailed model gives to any.
"""

import time

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelerator_sim.detailed import DetailedModel
from accelerator_sim.engine import evaluate_batch
from accelerator_sim.problem import PlacementProblem
from egrl.bench.machine import machine_line
from egrl.bench.model_index import read_index
from egrl.bench.options import BenchOptions
from egrl.bench.ranking_sample import sample_placements
from egrl.bench.ranking_table import RankingRow, document
from egrl.compilation import prepare

MODELS = ("resnet50", "bert-base", "efficientnet-lite0", "minilm", "light-inception-v2")
TARGETS = ("nnp-i", "nnp-i-partitioned", "tpu-v5e", "hexagon-vtcm-8m", "ethos-u65-512")
PLACEMENTS = 200
SEED = 0
EVALUATIONS = 50_000

F64 = NDArray[np.float64]


def run(options: BenchOptions) -> None:
    """Measure, merge with earlier rows, write the document.

    Raises:
        InputError: a model is not built.
    """
    data = options.out.with_suffix(".json")
    rows: dict[str, RankingRow] = {}
    if data.exists():
        rows = msgspec.json.decode(data.read_bytes(), type=dict[str, RankingRow])
    index = read_index(options.folder, options.models or list(MODELS))
    for name, entry in index.items():
        for target in options.targets or TARGETS:
            ready = prepare(options.folder / entry.file, target, None, entry.dims)
            row = judge(ready.problem, name, target)
            rows[f"{name} on {target}"] = row
            print(
                f"{name} on {target}: rank correlation {row.rank_correlation:.3f}, "
                f"engine's best {100 * row.regret:.1f} % above the detailed model's",
                flush=True,
            )
            ordered = {key: rows[key] for key in sorted(rows)}
            options.out.parent.mkdir(parents=True, exist_ok=True)
            data.write_bytes(msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n")
            text = document(list(ordered.values()), machine_line(), PLACEMENTS, SEED, EVALUATIONS)
            options.out.write_text(text, "utf-8")


def judge(
    problem: PlacementProblem,
    model: str,
    target: str,
    placements: int = PLACEMENTS,
    evaluations: int = EVALUATIONS,
) -> RankingRow:
    """Engine and detailed model on the same placements of one model on one target."""
    rng = np.random.default_rng(SEED)
    homes, origins = sample_placements(problem, placements, rng, evaluations)
    engine_P = evaluate_batch(problem, np.array(homes)).latency_s_P
    detailed = DetailedModel(problem.workload, problem.accelerator)
    detailed_P = np.empty(len(homes))
    seconds = []
    for index, homes_T in enumerate(homes):
        placement = [problem.homes[home] for home in homes_T.tolist()]
        began = time.process_time()
        detailed_P[index] = detailed.simulate(placement).latency_s
        seconds.append(time.process_time() - began)
    chosen = int(engine_P.argmin())
    best = int(detailed_P.argmin())
    quarter = np.sort(np.argsort(detailed_P, kind="stable")[: max(2, len(homes) // 4)])
    ratio_P = detailed_P / engine_P
    return RankingRow(
        model=model,
        target=target,
        ops=problem.op_count,
        placements=len(homes),
        rank_correlation=rank_correlation(engine_P, detailed_P),
        best_quarter=rank_correlation(engine_P[quarter], detailed_P[quarter]),
        regret=float(detailed_P[chosen] / detailed_P[best] - 1.0),
        spread=float(detailed_P.max() / detailed_P.min()),
        spread_of_quarter=float(detailed_P[quarter].max() / detailed_P[quarter].min()),
        engine_best_s=float(engine_P[chosen]),
        detailed_best_s=float(detailed_P[best]),
        best_origin=origins[best],
        ratio_median=float(np.median(ratio_P)),
        ratio_least=float(ratio_P.min()),
        ratio_most=float(ratio_P.max()),
        simulation_s=float(np.median(seconds)),
    )


def rank_correlation(left_P: F64, right_P: F64) -> float:
    """Spearman's: Pearson's correlation of ranks; equal values share their mean rank.

    1 where either side has only one value: then there is nothing to order.
    """
    left, right = _ranks(left_P), _ranks(right_P)
    left -= left.mean()
    right -= right.mean()
    scale = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return float((left * right).sum()) / scale if scale > 0.0 else 1.0


def _ranks(values_P: F64) -> F64:
    ordered = np.sort(values_P)
    first = np.searchsorted(ordered, values_P, side="left")
    last = np.searchsorted(ordered, values_P, side="right")
    ranks: F64 = (first + last - 1) / 2.0
    return ranks
