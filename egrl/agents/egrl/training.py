"""Training a policy: exercises in random order, imitation of their solutions and regret.

Adam with a falling rate; what is kept is the running mean of the weights. A checkpoint holds all
that the next step depends on, and is written in one step, so that a run that was killed ends with
the same bytes as one that was not.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from egrl.agents.egrl.imitation import imitation_loss
from egrl.agents.egrl.network import NetworkConfig, PolicyNetwork
from egrl.agents.egrl.pool import Exercise
from egrl.agents.egrl.regret import lesson
from graph_ir.errors import EgrlError, InputError

OUT_OF_THE_QUESTION = -30.0
"""Preference of a home that is not allowed, in the losses."""


class TrainingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hyper-parameters.

    Attributes:
        network: architecture.
        steps: gradient steps.
        batch: exercises of a step.
        rate: of Adam, at the beginning; it falls as a cosine to a twentieth.
        gradient_norm: longer gradients are cut.
        mean_decay: of the running mean of the weights.
        imitation: weight of the loss that imitates solutions.
        regret: weight of the loss against own samples.
        samples: placements that regret is estimated from.
        often: ops up to which an exercise is in every epoch; a larger one is in so many fewer of
            them as it takes longer, or the largest tenth would take half of the time.
        seed: of everything.
    """

    network: NetworkConfig = NetworkConfig()
    steps: int = 4000
    batch: int = 8
    rate: float = 2e-3
    gradient_norm: float = 1.0
    mean_decay: float = 0.995
    imitation: float = 0.3
    regret: float = 0.1
    samples: int = 32
    often: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step has to tell.

    Attributes:
        step: how many were taken.
        loss: mean over its exercises.
        short: mean share by which the policy is slower than their solutions.
    """

    step: int
    loss: float
    short: float


class Training:
    """State of a training."""

    def __init__(self, config: TrainingConfig, exercises: list[Exercise]) -> None:
        """Begin with random weights."""
        self.config, self.exercises = config, exercises
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = PolicyNetwork(config.network)
        self.mean = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.adam = torch.optim.Adam(self.network.parameters(), lr=config.rate)
        self.rng = np.random.default_rng(config.seed)
        self.order: list[int] = []
        self.step = 0

    def advance(self) -> Progress:
        """One gradient step.

        Raises:
            EgrlError: the loss is not finite.
        """
        config = self.config
        share = self.step / max(1, config.steps)
        rate = config.rate * (0.05 + 0.95 * 0.5 * (1.0 + float(np.cos(np.pi * min(1.0, share)))))
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.zero_grad()
        losses, short = [], []
        for _ in range(config.batch):
            while not self.order:
                self.order = epoch(self.exercises, self.config.often, self.rng)
            exercise = self.exercises[self.order.pop()]
            loss, policy_log = self._loss(exercise)
            if not bool(torch.isfinite(loss)):
                raise EgrlError(f"training diverged at step {self.step}: the loss is {loss.item()}")
            torch.autograd.backward(loss / config.batch)
            losses.append(float(loss.detach()))
            short.append(np.expm1(policy_log - np.log(exercise.solution.latency_s)))
        clip_grad_norm_(self.network.parameters(), config.gradient_norm)
        self.adam.step()
        for name, value in self.network.state_dict().items():
            self.mean[name].mul_(config.mean_decay).add_(value, alpha=1.0 - config.mean_decay)
        self.step += 1
        return Progress(self.step, float(np.mean(losses)), float(np.mean(short)))

    def _loss(self, exercise: Exercise) -> tuple[Tensor, float]:
        config, case = self.config, exercise.case
        found = lesson(self.network, case, config.samples, self.rng)
        prior, allowed_TH = case.observation.prior, case.problem.allowed_TH
        rule_TH = np.where(allowed_TH, prior.preference_TH, OUT_OF_THE_QUESTION)
        imitated = imitation_loss(
            case.problem,
            exercise.solution,
            torch.from_numpy(prior.priority_T.astype(np.float32)) + found.priority_T,
            torch.from_numpy(rule_TH.astype(np.float32)) + found.preference_TH,
            self.rng,
        )
        return config.regret * found.loss + config.imitation * imitated, found.policy_log

    def save(self, path: Path) -> None:
        """Write a checkpoint in one step."""
        tensors: dict[str, Tensor] = {}
        for name, value in self.network.state_dict().items():
            tensors[f"weights/{name}"] = value.contiguous()
            tensors[f"mean/{name}"] = self.mean[name].contiguous()
        for index, state in self.adam.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"adam/{index}/{key}"] = value
        facts = {
            "config": msgspec.json.encode(self.config).decode(),
            "state": json.dumps(
                {"step": self.step, "order": self.order, "rng": self.rng.bit_generator.state}
            ),
        }
        partial = path.with_name(path.name + ".partial")
        save_file(tensors, partial, facts)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Take up a checkpoint.

        Raises:
            InputError: it is not readable, or of another configuration.
        """
        try:
            with safe_open(path, framework="pt") as file:
                facts = file.metadata() or {}
            tensors = load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(
                f"checkpoint {path}: not readable: {' '.join(str(error).split())}"
            ) from error
        if facts.get("config") != msgspec.json.encode(self.config).decode():
            raise InputError(f"checkpoint {path}: made with another configuration")
        self.network.load_state_dict(
            {name: tensors[f"weights/{name}"] for name in self.network.state_dict()}
        )
        self.mean = {name: tensors[f"mean/{name}"] for name in self.mean}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("adam/"):
                _, index, key = name.split("/")
                moments.setdefault(int(index), {})[key] = value
        adam = self.adam.state_dict()
        adam["state"] = moments
        self.adam.load_state_dict(adam)
        state = json.loads(facts["state"])
        self.step, self.order = state["step"], state["order"]
        self.rng.bit_generator.state = state["rng"]


def epoch(exercises: list[Exercise], often: int, rng: np.random.Generator) -> list[int]:
    """Which exercises an epoch has, in random order; see `TrainingConfig.often`."""
    order = rng.permutation(len(exercises))
    ops = np.array([exercises[index].case.problem.op_count for index in order.tolist()])
    found: list[int] = order[rng.random(len(order)) < often / ops].tolist()
    return found


def policy_of(training: Training) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """The running mean of the weights, by name."""
    return {name: value.numpy().copy() for name, value in training.mean.items()}
