"""Place the two graphs of a decoder together: what both have has one home in both plans.

Nothing is moved between the two graphs, so the homes of weights and states are a compromise. What
is asked for is the time of a generated token and of the prompt's tokens that come with it,

    decode + prompt_ratio * prefill / rows of prefill,

and two orders are tried: one graph is placed with everything free, then the other with the homes
that both share pinned. The better one is taken. Placing the graph of one token first alone is not
enough: it fills the innermost memory with weights that bring it 1 %, and the prompt's graph then
takes twice as long (docs/decisions/0031-decoders-on-accelerators.md).
"""

from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem, build_problem
from egrl.placement import Placed, place, report_placement
from egrl.placers.base import Budget, Progress, no_progress
from graph_ir.decoder.decoder import TOKENS
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.kv.static_body import PROMPT_PREFIX
from graph_ir.text import quoted
from graph_ir.workload import Tensor, TensorKind

SHARED_KINDS = (TensorKind.WEIGHT, TensorKind.STATE)

PROMPT_RATIO = 4.0
"""Tokens of a prompt for each token that is generated: a prompt is longer than its answer."""


@dataclass(frozen=True, slots=True)
class PlacedDecoder:
    """Both graphs of a decoder, placed; their shared weights and states have the same homes.

    Attributes:
        decode: of one token.
        prefill: of a chunk of the prompt.
        first: which of the two was placed first, `decode` or `prefill`.
    """

    decode: Placed
    prefill: Placed
    first: str


def place_decoder(
    decode: PlacementProblem,
    prefill: PlacementProblem,
    placer: str,
    budget: Budget,
    seed: int,
    progress: Progress = no_progress,
    model: str = "",
    prompt_ratio: float = PROMPT_RATIO,
) -> PlacedDecoder:
    """Place both graphs. Their reports are of the problems as they are given.

    Args:
        decode: of one token.
        prefill: of a chunk of the prompt, on the same target; weights and states of the same name
            are the same, where type and shape are, too. Pins of either are kept.
        placer: see `egrl placers`.
        budget: of all searches together.
        seed: of the placer.
        progress: told of improvements.
        model: how the reports name it.
        prompt_ratio: tokens of a prompt for each token that is generated.

    Raises:
        InputError: a state is not the same in both graphs.
        UnmetRequirementError: nothing feasible was found, or a pin of one graph contradicts the
            other's.
    """
    check_states(decode, prefill)
    part = quarter(budget)

    def placed(problem: PlacementProblem) -> Placed:
        name = f"{model} ({problem.workload.name})" if model else ""
        return place(problem, placer, part, seed, progress, name)

    free_decode, free_prefill = placed(decode), placed(prefill)
    after_decode = placed(with_homes_of(prefill, decode, free_decode.homes_T))
    after_prefill = placed(with_homes_of(decode, prefill, free_prefill.homes_T))
    chunk = _rows(prefill)

    def seconds(token: Placed, prompt: Placed) -> float:
        return token.timeline.latency_s + prompt_ratio * prompt.timeline.latency_s / chunk

    if seconds(free_decode, after_decode) <= seconds(after_prefill, free_prefill):
        prompt = _reported(prefill, placer, after_decode, free_prefill)
        return PlacedDecoder(free_decode, prompt, "decode")
    token = _reported(decode, placer, after_prefill, free_decode)
    return PlacedDecoder(token, free_prefill, "prefill")


def _reported(problem: PlacementProblem, placer: str, pinned: Placed, free: Placed) -> Placed:
    """A placement of the pinned problem, reported against what is true of the free one."""
    result = replace(pinned.result, lower_bound_s=free.result.lower_bound_s)
    found = report_placement(problem, placer, result, free.report.references, free.report.model)
    alone = msgspec.structs.replace(found.report, alone_s=free.timeline.latency_s)
    return replace(found, report=alone)


def _rows(prefill: PlacementProblem) -> int:
    """Tokens that the graph of the prompt reads at once."""
    shapes = [t.shape for t in prefill.workload.tensors if t.name == TOKENS]
    return max(1, shapes[0][-1]) if shapes and shapes[0] else 1


def check_states(decode: PlacementProblem, prefill: PlacementProblem) -> None:
    """Refuse graphs whose states differ: one could not go on where the other ended.

    Raises:
        InputError: with the first state that is not the same in both.
    """
    known = _shared(decode)
    for name, tensor in _shared(prefill).items():
        if name.startswith(PROMPT_PREFIX):  # A graph between the two makes the other's out of it.
            continue
        other = known.get(name)
        if tensor.kind is TensorKind.STATE and (other is None or _form(tensor) != _form(other)):
            got = "nothing" if other is None else _form(other)
            raise InputError(
                f"state {quoted(name)}: expected the same in both graphs of the decoder, got "
                f"{_form(tensor)} in {prefill.workload.name} and {got} in {decode.workload.name}"
            )


def with_homes_of(
    problem: PlacementProblem, other: PlacementProblem, homes_T: NDArray[np.int8]
) -> PlacementProblem:
    """A problem in which what another graph has, too, is pinned to where that has it.

    Constants of the steps themselves may have the same name and differ; they are not shared.

    Args:
        problem: to pin; its own pins are kept.
        other: the graph that is placed.
        homes_T: its placement.

    Raises:
        UnmetRequirementError: something may not be there in this graph, by a pin of its own.
    """
    there = _shared(other)
    homes = {tensor.name: int(homes_T[t]) for t, tensor in enumerate(other.workload.tensors)}
    pins: dict[str, str] = {}
    for t, tensor in enumerate(problem.workload.tensors):
        if tensor.alias_of is not None:
            continue
        allowed_H = problem.allowed_TH[t]
        same = there.get(tensor.name)
        if same is not None and _form(same) == _form(tensor):
            home = homes[tensor.name]
            if not allowed_H[home]:
                raise UnmetRequirementError(
                    f"pin {quoted(tensor.name)}: {other.workload.name} has it in "
                    f"{other.home_name(home)}, where {problem.workload.name} may not have it"
                )
            pins[tensor.name] = problem.home_name(home)
        elif int(allowed_H.sum()) == 1:
            pins[tensor.name] = problem.home_name(int(allowed_H.argmax()))
    return build_problem(problem.workload, problem.accelerator, pins)


def _shared(problem: PlacementProblem) -> dict[str, Tensor]:
    tensors = problem.workload.tensors
    return {t.name: t for t in tensors if t.kind in SHARED_KINDS and t.alias_of is None}


def _form(tensor: Tensor) -> str:
    return f"{tensor.data_type} {list(tensor.shape)} ({tensor.kind})"


def quarter(budget: Budget) -> Budget:
    """A quarter of a budget: there are four searches."""
    evaluations = budget.evaluations
    return replace(
        budget,
        seconds=None if budget.seconds is None else budget.seconds / 4,
        evaluations=None if evaluations is None else max(1, evaluations // 4),
    )
