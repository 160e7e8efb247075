"""What compression did to a graph's weights, layer by layer, as the manifest keeps it."""

import msgspec


class LayerRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One compressed weight.

    Attributes:
        name: of the node that it is a factor of.
        bits: of its integers.
        group: input channels that share a scale.
        stored_bits: of its integers, scales and zero points.
        elements: of the weight.
        error: relative root mean square error of the weight.
        output_error: the same of the layer's output on the calibration inputs, or null where the
            method did not look at them; where it looked at the size of channels alone, they count
            as independent of each other.
        rows: of the layer's calibration inputs that the method learned from, or null.
    """

    name: str
    bits: int
    group: int
    stored_bits: int
    elements: int
    error: float
    output_error: float | None = None
    rows: int | None = None


class SkippedRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A layer that looks as if its weight could be compressed, and was left, with the reason."""

    name: str
    reason: str


class CompressionRecord(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One compression of a graph.

    Attributes:
        method: with its add-ons, in the order in which they worked.
        layers: in the order of the graph.
        skipped: in the order of the graph.
        model_bits: of all constants of the graph afterwards, over the number of elements before.
        notes: what each preparation and correction said that it did.
        kernels: how many quantized nodes each kernel of onnxruntime executes, by what it is;
            of all compressions together, in the record of the last.
    """

    method: str
    layers: list[LayerRecord]
    skipped: list[SkippedRecord] = []
    model_bits: float | None = None
    notes: list[str] = []
    kernels: dict[str, int] = {}


def layers_bits(layers: list[LayerRecord]) -> float:
    """Stored bits per element of the compressed weights, 0 for none."""
    elements = sum(layer.elements for layer in layers)
    return sum(layer.stored_bits for layer in layers) / elements if elements else 0.0


def summary(record: CompressionRecord) -> str:
    """A line about one compression."""
    layers = record.layers
    text = f"{record.method}, {len(layers)} weights at {layers_bits(layers):.2f} bits, scales in"
    if layers:
        worst = max(layers, key=lambda layer: layer.error)
        text += f"; largest error of a weight {worst.error:.3g} ({worst.name})"
    known = [layer for layer in layers if layer.output_error is not None]
    if known:
        worst = max(known, key=lambda layer: layer.output_error or 0.0)
        text += f", of an output {worst.output_error:.3g} ({worst.name})"
    if record.skipped:
        text += f"; {len(record.skipped)} left as they were"
    if record.kernels:
        text += "; executed by " + ", ".join(f"{n} {name}" for name, n in record.kernels.items())
    return text
