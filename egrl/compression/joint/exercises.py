"""Generated problems of precision and placement: a generated workload whose products have choices.

Weights are packed as the compiler packs them, products get the types of the precision, rounding of
activations is counted as the product's own (`lowering.priced_alike`). Errors are drawn: heavy
tailed between products, larger with fewer bits.

Axes: S products, P precisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import PlacementProblem, build_problem
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.head_view import KEPT, Trait
from egrl.compression.joint.model import Bounds
from egrl.compression.joint.placed import Place, PlacedChoice
from egrl.generator.problems import draw_problem
from graph_ir.datatypes import BITS
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.mixed_workload import WorkloadChoices
from graph_ir.workload import Op, Role, Tensor, TensorKind, Workload

TRAITS = (KEPT, Trait(8, False), Trait(4, False), Trait(8, True), Trait(4, True))
"""Precisions of an exercise, as far as the accelerator has their types."""

SCALE_SHARE = 1 / 16
"""Bytes of scales for a byte of 8-bit weights in groups of 32."""

QUANTIZE_OPS = 2
"""Elementary operations that round an element to a byte."""

SMALLEST_BYTES = 256
"""Of a weight that has a choice."""

MOST_DRAWS = 50

ERROR_SPREAD = 2.5
"""Of the logarithm of a product's squared error."""


@dataclass(frozen=True, slots=True)
class GeneratedMixtures:
    """Workloads of the choices of a generated model; see `placed.Mixtures`.

    Attributes:
        choices: one workload for each precision.
        ops: index of the op of each product.
    """

    choices: WorkloadChoices
    ops: tuple[int, ...]

    def workload(self, choice_S: Sequence[int]) -> Workload:
        """See `Mixtures`."""
        choice_N = [0] * len(self.choices.op_names)
        for op, choice in zip(self.ops, choice_S, strict=True):
            choice_N[op] = choice
        return self.choices.mixed(choice_N)

    def price_workload(self, precision: int) -> Workload:
        """See `Mixtures`."""
        return self.workload([precision] * len(self.ops))


@dataclass(frozen=True, slots=True)
class Exercise:
    """A problem to learn from.

    Attributes:
        mixtures: of the model.
        accelerator: the target.
        traits: of the precisions.
        problems: one for each precision.
        costs: drawn.
        bounds: drawn.
        start: everything kept, or the smallest precisions where that has too many bytes; placed.
    """

    mixtures: GeneratedMixtures
    accelerator: Accelerator
    traits: tuple[Trait, ...]
    problems: tuple[PlacementProblem, ...]
    costs: ChoiceCosts
    bounds: Bounds
    start: PlacedChoice

    def place(self, seed: int) -> Place:
        """Where its choices are placed."""
        return Place(self.mixtures, self.accelerator, {}, seed)


def draw_exercise(
    rng: np.random.Generator, op_range: tuple[int, int], evaluations: int
) -> Exercise:
    """A random problem with at least three products.

    Args:
        rng: source of all randomness.
        op_range: fewest and most ops.
        evaluations: of the placement that it begins with.

    Raises:
        UnmetRequirementError: `MOST_DRAWS` draws in a row were of no use.
    """
    for _ in range(MOST_DRAWS):
        drawn = draw_problem(rng, op_range=op_range).problem
        exercise = _exercise(drawn, rng, evaluations)
        if exercise is not None:
            return exercise
    raise UnmetRequirementError(f"generator: {MOST_DRAWS} problems in a row without choices", ())


def _exercise(
    drawn: PlacementProblem, rng: np.random.Generator, evaluations: int
) -> Exercise | None:
    workload, accelerator = drawn.workload, drawn.accelerator
    products = [at for at in range(drawn.op_count) if _weight_of(workload, at) is not None]
    if len(products) < 3:
        return None
    traits, workloads, problems = [], [], []
    for trait in TRAITS:
        narrow = workload if trait is KEPT else narrowed(workload, products, trait)
        try:
            problems.append(build_problem(narrow, accelerator))
        except (InputError, UnmetRequirementError):
            continue  # The accelerator has no rate for such a pair.
        traits.append(trait)
        workloads.append(narrow)
    if len(traits) < 2 or traits[0] is not KEPT:
        return None
    mixtures = GeneratedMixtures(WorkloadChoices(tuple(workloads)), tuple(products))
    costs = _draw_costs(mixtures, workloads, traits, rng)
    bounds = _draw_bounds(costs, rng)
    place = Place(mixtures, accelerator, {}, 0)
    choice_S = (0,) * len(products)
    try:
        start = place.place(choice_S, [], evaluations)
    except UnmetRequirementError:
        return None
    return Exercise(
        mixtures, accelerator, tuple(traits), tuple(problems), costs, bounds, start
    )  # fmt: skip


def narrowed(workload: Workload, products: Sequence[int], trait: Trait) -> Workload:
    """All products in one precision.

    Args:
        workload: as it was drawn.
        products: ops with a weight of their own.
        trait: of the precision.
    """
    tensors, ops = list(workload.tensors), list(workload.ops)
    for at in products:
        ops[at] = _narrow(ops[at], tensors, _need(workload, at), trait, len(workload.ops))
    whole = replace(workload, ops=tuple(ops), tensors=tuple(tensors))
    return WorkloadChoices((whole,)).mixed([0] * len(ops))


def _weight_of(workload: Workload, at: int) -> int | None:
    """Place of the weight operand of an op that alone reads it."""
    op = workload.ops[at]
    if len(op.mac_work) != 1 or op.mac_work[0].depthwise:
        return None
    for place, operand in enumerate(op.operands):
        tensor = workload.tensors[operand.tensor]
        if (
            operand.role is Role.RIGHT
            and tensor.kind is TensorKind.WEIGHT
            and tensor.size_bytes >= SMALLEST_BYTES
            and operand.traffic_bytes == tensor.size_bytes
            and sum(o.tensor == operand.tensor for each in workload.ops for o in each.operands) == 1
        ):
            return place
    return None


def _need(workload: Workload, at: int) -> int:
    place = _weight_of(workload, at)
    assert place is not None
    return place


def _narrow(op: Op, tensors: list[Tensor], place: int, trait: Trait, op_count: int) -> Op:
    operand = op.operands[place]
    source = tensors[operand.tensor]
    entries = source.size_bytes * 8 // BITS[source.data_type]
    size = entries * trait.weight_bits // 8
    # A scale per output channel with bytes of 8 bits, one per group elsewhere.
    grouped = not (trait.reads_bytes and trait.weight_bits == 8)
    size += round(entries * SCALE_SHARE) if grouped else 4 * op.mac_work[0].columns
    stored = f"int{trait.weight_bits}"
    suffix = f"{trait.weight_bits}{'a8' if trait.reads_bytes else ''}"
    tensors.append(
        replace(
            source,
            name=f"{source.name}.{suffix}",
            size_bytes=size,
            data_type=stored,
            start=0,
            end=op_count,
        )
    )
    operands = list(op.operands)
    operands[place] = replace(operand, tensor=len(tensors) - 1, traffic_bytes=size)
    work = op.mac_work[0]
    left_bytes = work.batch * work.rows * work.inner // max(1, work.kernel_positions)
    rounded = trait.reads_bytes and work.left_type != "int8"
    return replace(
        op,
        operands=tuple(operands),
        mac_work=(
            replace(
                work,
                right_type=stored,
                left_type="int8" if trait.reads_bytes else work.left_type,
            ),
        ),
        vector_ops=op.vector_ops + (QUANTIZE_OPS * left_bytes if rounded else 0),
        dequantize_ops=entries if grouped else 0,
    )


def _draw_costs(
    mixtures: GeneratedMixtures,
    workloads: Sequence[Workload],
    traits: Sequence[Trait],
    rng: np.random.Generator,
) -> ChoiceCosts:
    products = len(mixtures.ops)
    error_SP = np.zeros((products, len(traits)))
    bytes_SP = np.zeros((products, len(traits)), np.int64)
    weight_S = np.exp(rng.normal(0.0, ERROR_SPREAD, products))
    activation_S = np.exp(rng.normal(0.0, ERROR_SPREAD, products)) * 10 ** rng.uniform(-3, 0)
    wider_S = 10 ** rng.uniform(-3.0, -1.5, products)
    kept = workloads[0]
    for p, trait in enumerate(traits):
        for s, at in enumerate(mixtures.ops):
            place = _need(kept, at)
            bytes_SP[s, p] = (
                workloads[p].tensors[workloads[p].ops[at].operands[place].tensor].size_bytes
            )
        if trait.weight_bits:
            error_SP[:, p] = weight_S * (wider_S if trait.weight_bits == 8 else 1.0)
            error_SP[:, p] += activation_S if trait.reads_bytes else 0.0
    other = kept.weight_bytes - int(bytes_SP[:, 0].sum())
    return ChoiceCosts(tuple((at,) for at in mixtures.ops), error_SP, bytes_SP, other)


def _draw_bounds(costs: ChoiceCosts, rng: np.random.Generator) -> Bounds:
    """Of the error: a share, drawn over some decades, of what the coarsest precisions cause."""
    coarsest = float(costs.error_squared_SP.max(axis=1).sum())
    return Bounds(float(np.sqrt(coarsest * 10 ** rng.uniform(-3.0, 0.0))))
