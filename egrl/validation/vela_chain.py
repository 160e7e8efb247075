"""Vela's operations one after another, as a workload of the engine, placed as Vela placed them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import log

import numpy as np

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.traffic import operand_use, resource_names, resource_seconds
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.timeline import OpTrace
from egrl.validation.vela_layers import VelaLayer, layer_workload
from egrl.validation.vela_machines import ethos_machine
from egrl.validation.vela_rows import Reference, Setting
from graph_ir.workload import Op, Tensor, TensorKind, Workload


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the engine says of one operation.

    Attributes:
        cycles: it lasts.
        compute_cycles: of the matrix or vector unit.
    """

    cycles: float
    compute_cycles: float


def predict(setting: Setting, references: Sequence[Reference]) -> list[Prediction]:
    """The operations on one timeline, weights prefetched behind the operation before.

    Args:
        setting: the reference machine.
        references: in order; where their feature maps live is read off the access columns.
    """
    accelerator = ethos_machine(setting.unit, setting.system, setting.mode)
    homes = [home for one in references for home in placement(setting, one)]
    problem = build_problem(chain([one.layer for one in references]), accelerator)
    clock = accelerator.clock_hz.value
    return [_prediction(trace, clock) for trace in simulate(problem, homes).ops]


def _prediction(trace: OpTrace, clock_hz: float) -> Prediction:
    return Prediction(
        (trace.end_s - trace.start_s) * clock_hz, max(trace.mac_s, trace.vector_s) * clock_hz
    )


def chain(layers: Sequence[VelaLayer]) -> Workload:
    """Workloads of one op each as one; no tensor is shared."""
    ops: list[Op] = []
    tensors: list[Tensor] = []
    for position, layer in enumerate(layers):
        one = _workload(layer)
        first = len(tensors)
        for tensor in one.tensors:
            weight = tensor.kind is TensorKind.WEIGHT
            start, end = (0, len(layers)) if weight else (position, position + 1)
            name = f"{position}:{tensor.name}"
            tensors.append(replace(tensor, name=name, start=start, end=end))
        for op in one.ops:
            operands = tuple(replace(o, tensor=first + o.tensor) for o in op.operands)
            ops.append(replace(op, name=f"{position}:{op.name}", operands=operands))
    return Workload("chain", "int8", tuple(ops), tuple(tensors))


@lru_cache(maxsize=4096)
def _workload(layer: VelaLayer) -> Workload:
    return layer_workload(layer)


def placement(setting: Setting, reference: Reference) -> tuple[int, ...]:
    """Homes of one operation's tensors.

    Constants are where the memory mode has them, inputs and outputs of the model in the arena.
    Where other feature maps may be in DRAM or in its SRAM cache, Vela's row does not say which it
    chose; the choice whose DRAM cycles come nearest to the row's is taken.
    """
    problem = _problem(setting, reference.layer)
    tensors = problem.workload.tensors
    choices = [
        [int(home) for home in np.flatnonzero(allowed)[::-1]] for allowed in problem.allowed_TH
    ]
    for position, tensor in enumerate(tensors):
        if tensor.kind is TensorKind.WEIGHT:
            choices[position] = choices[position][-1:]
    candidates = list(product(*choices))
    if len(candidates) == 1:
        return candidates[0]
    cycles = reference.access_cycles["DRAM"]
    return min(candidates, key=lambda homes: _distance(problem, homes, cycles))


@lru_cache(maxsize=4096)
def _problem(setting: Setting, layer: VelaLayer) -> PlacementProblem:
    accelerator = ethos_machine(setting.unit, setting.system, setting.mode)
    return build_problem(_workload(layer), accelerator)


def _distance(problem: PlacementProblem, homes: Sequence[int], dram_cycles: float) -> float:
    """How far a placement's DRAM cycles are from a row's.

    Weights may have come before the operation began, or not, so there is a range of cycles.
    """
    accelerator, op = problem.accelerator, problem.workload.ops[0]
    variant = problem.variants_N[0][0]
    names = resource_names(accelerator)
    seconds, late_s = [0.0] * len(names), 0.0
    for position, operand in enumerate(op.operands):
        tensor = problem.workload.tensors[operand.tensor]
        home = problem.homes[homes[operand.tensor]]
        ratio = float(problem.stored_ratio_T[operand.tensor])
        use = operand_use(
            operand, tensor.kind, home, variant, variant.passes[position], accelerator, ratio
        )
        late_s += use.stream_s
        for index, own_s in enumerate(resource_seconds(use, accelerator)):
            seconds[index] += own_s
    least = max(s for s, name in zip(seconds, names, strict=True) if name.startswith("DRAM"))
    most = max(least, seconds[0] + late_s)
    clock = accelerator.clock_hz.value
    nearest = min(max(dram_cycles, least * clock), most * clock)
    return abs(log((nearest + 1.0) / (dram_cycles + 1.0)))


def bound_of(prediction: Prediction) -> str:
    """`memory` where the operation lasts longer than the unit computes."""
    return "memory" if prediction.cycles > 1.05 * prediction.compute_cycles else "compute"


def machine_of(setting: Setting) -> Accelerator:
    """The reference machine of a setting."""
    return ethos_machine(setting.unit, setting.system, setting.mode)
