"""Runs the compressions of one `compile` in the order given, and measures what they cost."""

from dataclasses import dataclass
from pathlib import Path

from egrl.compression.error import relative_error, run_samples
from egrl.compression.inputs import draw_inputs, read_calibration
from egrl.compression.spec import Spec, parse_spec
from egrl.compression.weights import WeightsRecord, quantize_weights
from graph_ir.errors import UnmetRequirementError
from graph_ir.model import Model
from runtime.manifest import Execution, PassRecord

FAMILIES = {"int4": quantize_weights, "int8": quantize_weights}

LOSSLESS_EXECUTION = Execution()


@dataclass(frozen=True, slots=True)
class Compression:
    """What is asked for.

    Attributes:
        texts: of `--compress`, in order.
        calibration: `.npz` file or a folder of them; inputs are drawn where None.
        max_error: largest relative error of the outputs.
        seed: of what is drawn.
    """

    texts: tuple[str, ...] = ()
    calibration: str | Path | None = None
    max_error: float | None = None
    seed: int = 0


NO_COMPRESSION = Compression()


@dataclass(frozen=True, slots=True)
class Compressed:
    """What compression did to a model, which it changed in place.

    Attributes:
        records: a line of the manifest for each `--compress`.
        details: the same in full, for the report.
        execution: how onnxruntime has to execute the model now.
        error: of the outputs against the source's, relative; None without compression.
    """

    records: tuple[PassRecord, ...] = ()
    details: tuple[WeightsRecord, ...] = ()
    execution: Execution = LOSSLESS_EXECUTION
    error: float | None = None


def compress(model: Model, asked: Compression) -> Compressed:
    """Compresses a model in place.

    Args:
        model: simplified already.
        asked: which compressions.

    Raises:
        InputError: a flag or a calibration file is wrong; a weight is not finite.
        UnmetRequirementError: the error is larger than `max_error`.
    """
    specs = [parse_spec(text) for text in asked.texts]
    for spec in specs:
        if spec.family not in FAMILIES:
            raise spec.fail(f"{spec.family}: unknown; expected one of {', '.join(FAMILIES)}")
    if not specs:
        return Compressed()
    graph = model.graph_model.graph
    inputs = (
        draw_inputs(graph, asked.seed)
        if asked.calibration is None
        else read_calibration(Path(asked.calibration), graph, asked.seed)
    )
    expected = run_samples(model.graph_model, inputs.samples, LOSSLESS_EXECUTION)
    execution = LOSSLESS_EXECUTION
    records, details, error = [], [], 0.0
    for spec in specs:
        detail = FAMILIES[spec.family](model.graph_model, spec, inputs, model.source_path)
        if execution.accuracy_level not in (None, detail.accuracy):
            raise spec.fail(
                f"accuracy={detail.accuracy}: expected {execution.accuracy_level} as of the "
                "compression before; an artifact has one accuracy"
            )
        execution = Execution(accuracy_level=detail.accuracy)
        got = run_samples(model.graph_model, inputs.samples, execution)
        error = relative_error(expected, got)
        options = _recorded(spec, detail, inputs.source, len(inputs.samples), asked.seed)
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
    return Compressed(tuple(records), tuple(details), execution, error)


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
