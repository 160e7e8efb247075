"""`egrl/MemoryPlacement-v0`: place a whole model in one step (arXiv 2007.07298)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.environment.features import FEATURES, build_graph
from egrl.environment.judge import build_judge
from egrl.environment.projection import SLOTS
from egrl.evaluators.base import Evaluator
from egrl.evaluators.per_placement import LatencyOf, PerPlacementEvaluator
from graph_ir.errors import InputError

Observation = dict[str, Any]


class MemoryPlacement(gymnasium.Env[Observation, NDArray[np.int64]]):
    """One episode is one step: the agent says where everything goes and is told what it is worth.

    Observation: `nodes`, float32 [ops, 21], the 19 features of `egrl.environment.features` and the
    current map (home of the weights, home of the outputs, each divided by the last index);
    `edges`, int64 [2, edges], producer and consumer. The first map has everything outermost.

    Action: `MultiDiscrete`, for op 0 the home of its weights and that of its outputs, then for
    op 1, and so on; homes are those of the problem, outermost first, which are its tiers except
    that a tier which may hold a tensor in two modes counts twice.

    Reward and projection: `egrl.environment.judge`, `egrl.environment.projection`. The info of a
    step has `valid`, `moved_share` and `homes` (the placement, rectified where it had to be), and
    where a latency was measured `latency_s` and `speedup` over `native`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as gymnasium declares it

    def __init__(
        self,
        problem: PlacementProblem | None = None,
        model: str | Path | None = None,
        target: str = "nnp-i",
        precision: str | None = None,
        dims: Mapping[str, int] | None = None,
        evaluator: Evaluator | LatencyOf | None = None,
        keep_map: bool = False,
    ) -> None:
        """Take a problem, or build it from a model.

        Args:
            problem: what to place.
            model: an ONNX file, instead of a problem.
            target: accelerator of the model.
            precision: execution type of the model.
            dims: extents of the symbolic dimensions of the model.
            evaluator: measures placements: an `Evaluator`, or a function that takes a placement
                (int8, a home per tensor) and returns seconds; the engine where None.
            keep_map: an episode begins with the map that the last one tried (the paper), not with
                everything outermost.

        Raises:
            InputError: neither a problem nor a model, or both.
            UnmetRequirementError: a tensor of the model fits nowhere.
        """
        if (problem is None) == (model is None):
            raise InputError("environment: expected either a problem or a model")
        if problem is None:
            from egrl.compilation import prepare

            assert model is not None
            problem = prepare(Path(model), target, precision, dims or {}).problem
        machine = PerPlacementEvaluator(evaluator) if callable(evaluator) else evaluator
        self.judge = build_judge(problem, machine)
        self.graph = build_graph(problem.workload)
        self.keep_map = keep_map
        self._map_NS = self.judge.empty_map()
        homes = len(problem.homes)
        self._last_home = max(1, homes - 1)
        edges = self.graph.edges_2E.shape
        self.observation_space = spaces.Dict(
            {
                "edges": spaces.Box(0, problem.op_count - 1, edges, np.int64),
                "nodes": spaces.Box(
                    0.0, 1.0, (problem.op_count, len(FEATURES) + SLOTS), np.float32
                ),
            }
        )
        self.action_space = spaces.MultiDiscrete(np.full(problem.op_count * SLOTS, homes))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; nothing is random, the seed is accepted as gymnasium wants it."""
        super().reset(seed=seed)
        if not self.keep_map or seed is not None:
            self._map_NS = self.judge.empty_map()
        return self._observe(), {}

    def step(
        self, action: NDArray[np.int64]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Try a map; the episode ends.

        Raises:
            InputError: the action is not one of the action space.
        """
        if not self.action_space.contains(action):
            raise InputError(
                f"action: expected {self.action_space.shape} integers from 0 to {self._last_home}"
            )
        self._map_NS = np.asarray(action, np.int8).reshape(-1, SLOTS)
        found = self.judge.judge(self._map_NS[np.newaxis])
        info: dict[str, Any] = {
            "valid": bool(found.valid_P[0]),
            "moved_share": float(found.moved_share_P[0]),
            "homes": found.homes_PT[0],
        }
        latency_s = float(found.latency_s_P[0])
        if np.isfinite(latency_s) and latency_s > 0:
            info |= {"latency_s": latency_s, "speedup": self.judge.reference_s / latency_s}
        return self._observe(), float(found.reward_P[0]), True, False, info

    def _observe(self) -> Observation:
        map_NS = self._map_NS.astype(np.float32) / self._last_home
        return {
            "edges": self.graph.edges_2E.copy(),
            "nodes": np.concatenate([self.graph.features_NF, map_NS], axis=1, dtype=np.float32),
        }
