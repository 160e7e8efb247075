"""`auto:METHOD`: the precision of every product and the home of every tensor, chosen together.

Sensitivities first: the error of the outputs with one product at a time in each precision. Their
squares are summed, and the sum is only a model: every choice that the search makes under it is
quantized and measured, and the model is scaled by what the measurement said before the next. What
is returned was measured, and no measured choice that keeps to the bounds is faster.
"""

from dataclasses import dataclass, replace

import onnx_ir as ir

from egrl.compression.error import Reference
from egrl.compression.inputs import CalibrationInputs
from egrl.compression.joint.byte_forms import OPSET
from egrl.compression.joint.byte_sensitivity import NO_BYTES, measure_bytes
from egrl.compression.joint.choices import lower_precisions
from egrl.compression.joint.choosing import Choosing
from egrl.compression.joint.goal import AutoOptions, Goal
from egrl.compression.joint.trial import Trial
from egrl.compression.recipe import Recipe, read_recipe
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.sensitivity import measure_sensitivities
from egrl.compression.spec import Spec, options_into
from egrl.compression.weights import WeightsRecord, constant_sizes
from graph_ir.compression.convolution import find_convolutions, fold_following_additions
from graph_ir.compression.emit import needed_opset
from graph_ir.compression.method import Data
from graph_ir.compression.sites import find_sites
from graph_ir.onnx_values import node_name
from graph_ir.opset import raise_opset
from runtime.compression import CompressionRecord, SkippedRecord
from runtime.manifest import Execution

DRAWN = "ranges of activations are those of drawn inputs; --calibration gives real ones"


@dataclass(frozen=True, slots=True)
class JointRecord:
    """What was chosen.

    Attributes:
        weights: record as of any compression.
        homes: the placement that was found with it, by tensor name.
        latency_s: of that, by the engine.
        predicted: error by the sum of parts.
        measured: error of the outputs.
    """

    weights: WeightsRecord
    homes: dict[str, int]
    latency_s: float
    predicted: float
    measured: float


def quantize_jointly(
    model: ir.Model,
    spec: Spec,
    calibration: CalibrationInputs,
    where: str,
    goal: Goal,
    reference: Reference,
) -> JointRecord:
    """Chooses precisions for a target and quantizes in place.

    Args:
        model: simplified; changed in place.
        spec: the flag.
        calibration: inputs.
        where: the model's path, for messages.
        goal: target and bounds.
        reference: the source, to measure against.

    Raises:
        InputError: an unknown method or option, no bound at all.
        UnmetRequirementError: no choice keeps to the bounds.
    """
    options, recipe = _read(spec)
    if goal.max_error is None and goal.max_bytes is None:
        raise spec.fail("expected --max-error or --max-bytes, got neither")
    options.check_search(spec)
    grids, forms = options.candidates(spec), options.forms(spec)
    data = Data(
        calibration.samples,
        OnnxRuntimeRunner(),
        calibration.seed,
        calibration.source != "drawn",
        recipe.grid,
    )
    opsets = [needed_opset(grid.bits) for grid in grids]
    raise_opset(model, max(*opsets, OPSET) if forms else max(opsets), where)
    elements = constant_sizes(model)[0]
    notes = [
        f"{part.name}: {part.prepare(model, data).details or 'done'}"
        for part in recipe.preparations
    ]
    target = goal.target
    streamed = frozenset(target.accelerator.streamed_views)
    if forms:
        _check_floats(model, spec)
        fold_following_additions(model.graph)
    coarsest_first = sorted(grids, key=lambda grid: (grid.bits, -grid.group))
    errors = measure_sensitivities(model, find_sites(model.graph).found, coarsest_first, data)
    measured_bytes = measure_bytes(model, forms, options.range, data) if forms else NO_BYTES
    precisions = lower_precisions(
        model, grids, target.execution_type, streamed, where, forms, measured_bytes.ranges
    )
    if not precisions.sites:
        more = "" if forms else "; convolutions have one with activations=float/int8"
        raise spec.fail(f"{where}: expected an op whose precision may be chosen, got none{more}")
    if forms:
        notes.append(f"ranges of activations by {measured_bytes.choice}")
        notes += [] if data.given else [DRAWN]
    trial = Trial(
        model,
        precisions,
        recipe.method,
        recipe.corrections,
        data,
        reference,
        Execution(accuracy_level=recipe.whole.accuracy),
        ranges=measured_bytes.ranges,
        means=measured_bytes.means,
    )
    costs = precisions.costs(errors, measured_bytes.error_squared)
    choosing = Choosing(goal, options, precisions, costs, trial, where)
    best = choosing.best()
    measured, predicted = trial.error(best.choice_S), choosing.costs.error(best.choice_S)
    sites = find_sites(model.graph)
    layers, said = trial.apply(model, best.choice_S)
    chosen = {layer.name for layer in layers}
    kept = "kept: its error buys more elsewhere, or its size nothing here"
    skipped = [SkippedRecord(each.name, each.reason) for each in sites.skipped]
    convolutions, unable = find_convolutions(model.graph) if forms else ((), ())
    skipped += [SkippedRecord(each.name, each.reason) for each in unable if each.name not in chosen]
    names = [site.name for site in sites.found] + [site.name for site in convolutions]
    skipped += [SkippedRecord(name, kept) for name in names if name not in chosen]
    bits = constant_sizes(model)[1] / max(elements, 1)
    notes += [
        *said,
        f"precision: error {predicted:.4g} by the sum of parts, {measured:.4g} measured",
    ]
    record = CompressionRecord(recipe.options["method"], layers, skipped, bits, notes)
    weights = WeightsRecord(
        record,
        {**recipe.options, **_resolved(options, target.placer), **choosing.told(best)},
        recipe.whole.accuracy,
    )
    return JointRecord(weights, best.homes, best.latency_s, predicted, measured)


def _check_floats(model: ir.Model, spec: Spec) -> None:
    """Refuses products whose activations are not float32: the forms have no other.

    Raises:
        InputError: naming the first.
    """
    for site in find_sites(model.graph).found:
        for node in (site.node, *site.shared):
            value = node.inputs[0]
            if value is not None and value.dtype is not ir.DataType.FLOAT:
                raise spec.fail(
                    f"activations=int8: expected float32 inputs of products, {node_name(node)} "
                    f"reads {value.dtype}"
                )


def _read(spec: Spec) -> tuple[AutoOptions, Recipe]:
    """Options of the choice, and the recipe of the method with what is left of them."""
    own = set(AutoOptions.__slots__)
    ours = tuple(pair for pair in spec.options if pair[0] in own)
    others = tuple(pair for pair in spec.options if pair[0] not in own)
    made, _ = options_into(replace(spec, options=ours), {"auto": AutoOptions()})
    return made["auto"], read_recipe(replace(spec, family="int4", options=others))


def _resolved(options: AutoOptions, placer: str) -> dict[str, str]:
    found = {name: str(getattr(options, name)) for name in AutoOptions.__slots__}
    return {**found, "search": options.searched_by(placer).value}
