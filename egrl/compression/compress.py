"""Runs the compressions of one `compile` in the order given, and measures what they cost."""

from dataclasses import dataclass, field
from pathlib import Path

from egrl.compression.error import LOSSLESS_EXECUTION, Reference
from egrl.compression.gate import check_executed, with_forms
from egrl.compression.inputs import draw_inputs, read_calibration
from egrl.compression.int4_activations import quantize_int4
from egrl.compression.int8 import quantize_int8
from egrl.compression.joint.auto import quantize_jointly
from egrl.compression.joint.goal import Goal, Target
from egrl.compression.spec import Spec, parse_spec
from egrl.compression.weights import WeightsRecord
from egrl.kv.registry import is_kv_spec
from graph_ir.compression.fusable import make_fusable
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.model import Model
from runtime.manifest import Execution, PassRecord

FAMILIES = {"int4": quantize_int4, "int8": quantize_int8}

AUTO = "auto"
"""The family that chooses precisions for a target."""


@dataclass(frozen=True, slots=True)
class Compression:
    """What is asked for.

    Attributes:
        texts: of `--compress`, in order.
        calibration: `.npz` file or a folder of them; inputs are drawn where None.
        max_error: largest relative error of the outputs.
        seed: of what is drawn.
        max_bytes: most bytes of all weights as they are stored, with `auto`.
    """

    texts: tuple[str, ...] = ()
    calibration: str | Path | None = None
    max_error: float | None = None
    seed: int = 0
    max_bytes: int | None = None


NO_COMPRESSION = Compression()


@dataclass(frozen=True, slots=True)
class Compressed:
    """What compression did to a model, which it changed in place.

    Attributes:
        records: a line of the manifest for each `--compress`.
        details: the same in full, for the report.
        execution: how onnxruntime has to execute the model now.
        error: of the outputs against the source's, relative; None without compression.
        homes: by tensor name, where precisions were chosen with a placement.
    """

    records: tuple[PassRecord, ...] = ()
    details: tuple[WeightsRecord, ...] = ()
    execution: Execution = LOSSLESS_EXECUTION
    error: float | None = None
    homes: dict[str, int] = field(default_factory=dict)


def compress(model: Model, asked: Compression, target: Target | None = None) -> Compressed:
    """Compresses a model in place.

    Args:
        model: simplified already.
        asked: which compressions.
        target: that `auto` chooses for.

    Raises:
        InputError: a flag or a calibration file is wrong; a weight is not finite.
        UnmetRequirementError: the error is larger than `max_error`.
    """
    specs = [parse_spec(text) for text in asked.texts]
    for spec in specs:
        if spec.family not in (*FAMILIES, AUTO):
            if is_kv_spec(spec):
                raise spec.fail("caches: expected --decode beside it")
            known = ", ".join((*FAMILIES, AUTO))
            raise spec.fail(f"{spec.family}: unknown; expected one of {known}")
    if asked.max_bytes is not None and AUTO not in [spec.family for spec in specs]:
        raise InputError("--max-bytes: expected --compress auto beside it, which chooses by it")
    if not specs:
        return Compressed()
    graph_model = model.graph_model
    graph, earlier = graph_model.graph, frozenset(graph_model.graph.initializers)
    inputs = (
        draw_inputs(graph, asked.seed)
        if asked.calibration is None
        else read_calibration(Path(asked.calibration), graph, asked.seed)
    )
    reference = Reference(graph_model, inputs.samples)
    execution = LOSSLESS_EXECUTION
    records, details, error, homes = [], [], 0.0, dict[str, int]()
    for spec in specs:
        if spec.family == AUTO:
            if target is None:
                raise spec.fail("expected a target to choose for, got none")
            goal = Goal(target, asked.max_error, asked.max_bytes, asked.seed)
            joint = quantize_jointly(graph_model, spec, inputs, model.source_path, goal, reference)
            detail, homes = joint.weights, joint.homes
        else:
            detail = FAMILIES[spec.family](graph_model, spec, inputs, model.source_path)
        if execution.accuracy_level not in (None, detail.accuracy):
            raise spec.fail(
                f"accuracy={detail.accuracy}: expected {execution.accuracy_level} as of the "
                "compression before; an artifact has one accuracy"
            )
        execution = Execution(accuracy_level=detail.accuracy)
        make_fusable(graph_model.graph)
        error = reference.error(graph_model, execution)
        used = inputs if detail.calibration is None else detail.calibration
        options = _recorded(spec, detail, used.source, len(used.samples), asked.seed)
        records.append(PassRecord(spec.family, options, error))
        details.append(detail)
    if asked.max_error is not None and error > asked.max_error:
        worst = sorted(
            (layer for detail in details for layer in detail.record.layers),
            key=lambda layer: -layer.error,
        )
        raise UnmetRequirementError(
            f"{model.source_path}: error {error:.4g} of the outputs exceeds --max-error "
            f"{asked.max_error:g}",
            tuple(f"{layer.name}: error of the weight {layer.error:.4g}" for layer in worst[:5]),
        )
    forms = check_executed(graph_model, execution, earlier, model.source_path)
    details[-1] = with_forms(details[-1], forms)
    return Compressed(tuple(records), tuple(details), execution, error, homes)


def _recorded(
    spec: Spec, detail: WeightsRecord, source: str, samples: int, seed: int
) -> dict[str, str | int | float | bool | None]:
    return {
        **detail.options,
        "calibration": source,
        "samples": samples,
        "seed": seed,
        "layers": len(detail.record.layers),
        "skipped": len(detail.record.skipped),
    }
