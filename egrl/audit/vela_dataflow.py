"""Who reads what, inferred from the shapes of Vela's layers; see `egrl.audit.import_vela`."""

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

BufferKind = Literal["weight", "activation", "scratch", "io"]

# Operators whose inputs after the first are constants.
WEIGHTED = frozenset({"Conv2D", "DepthwiseConv2D", "FullyConnected", "TransposeConv2D"})
BIAS_BYTES = 4


@dataclass(frozen=True, slots=True)
class Layer:
    """A row with cycles.

    Attributes:
        name: of the output, as Vela prints it.
        operator: Vela's internal one.
        npu_cycles: of the arithmetic.
        access_cycles: by memory area.
        staging_bytes: SRAM in use while it runs.
        inputs: shapes; empty where Vela split an op and shapes are not known.
        output: shape, or None.
    """

    name: str
    operator: str
    npu_cycles: int
    access_cycles: dict[str, int]
    staging_bytes: int
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Buffer:
    """A tensor with its lifetime.

    Attributes:
        name: unique.
        kind: weight (all constants of an op in one), activation, scratch or io.
        size_bytes: int8.
        start: first op.
        end: one past the last op.
        writers: ops that produce it; two where one works in place.
        readers: ops that read it.
    """

    name: str
    kind: BufferKind
    size_bytes: int
    start: int
    end: int
    writers: tuple[int, ...]
    readers: tuple[int, ...]


def infer_dataflow(layers: list[Layer]) -> list[Buffer]:
    """The buffers of a network, in order of first appearance."""
    buffers: list[Buffer] = []
    for index, layer in enumerate(layers):
        if not layer.inputs:
            continue
        chosen: list[int] = []
        constant_bytes = 0
        for place, shape in enumerate(layer.inputs):
            elements = prod(shape)
            if layer.operator in WEIGHTED and place > 0:
                constant_bytes += elements * (BIAS_BYTES if len(shape) == 1 else 1)
                continue
            source = _source(buffers, layers, elements, index, chosen)
            if source is not None:
                buffer = buffers[source]
                readers = (*buffer.readers, index)
                buffers[source] = replace(buffer, readers=readers, end=index + 1)
                chosen.append(source)
            elif place == 0:
                chosen.append(len(buffers))
                name = f"#{index} input"
                buffers.append(Buffer(name, "io", elements, index, index + 1, (), (index,)))
            else:
                constant_bytes += elements
        if constant_bytes:
            name = f"#{index} {layer.name} constants"
            buffers.append(Buffer(name, "weight", constant_bytes, 0, len(layers), (), (index,)))
        if layer.output is not None:
            name = f"#{index} {layer.name}"
            size = prod(layer.output)
            buffers.append(Buffer(name, "activation", size, index, index + 1, (index,), ()))
    return _in_place(buffers, layers)


def _in_place(buffers: list[Buffer], layers: list[Layer]) -> list[Buffer]:
    """Merges input and output of elementwise ops where the SRAM in use leaves no room for both."""
    merged = list(buffers)
    for index, layer in enumerate(layers):
        live = [b for b in merged if b.kind != "weight" and b.start <= index < b.end]
        over = sum(b.size_bytes for b in live) > layer.staging_bytes
        if layer.operator in WEIGHTED or not layer.inputs or not over:
            continue
        for output in [b for b in live if b.writers == (index,) and b.start == index]:
            dying = [
                b
                for b in live
                if b.kind == "activation"
                and index in b.readers
                and b.end == index + 1
                and b.size_bytes == output.size_bytes
            ]
            if dying:
                place = merged.index(dying[0])
                merged[place] = replace(
                    dying[0],
                    end=output.end,
                    writers=(*dying[0].writers, index),
                    readers=(*dying[0].readers, *output.readers),
                )
                merged.remove(output)
    return merged


def _source(
    buffers: list[Buffer], layers: list[Layer], elements: int, op: int, taken: list[int]
) -> int | None:
    """Index of the buffer that an op reads, or None where none has its size."""
    candidates = [
        index
        for index, buffer in enumerate(buffers)
        if buffer.kind != "weight" and buffer.size_bytes == elements and index not in taken
    ]
    unread = [index for index in candidates if not buffers[index].readers]
    if unread:
        return unread[-1]
    # A second reader makes it a branch. Branches leave from where branches joined or from a
    # pooling, so those come first, newest first; then the oldest.
    joins = [index for index in candidates if not _is_weighted(buffers[index], layers)]
    others = [index for index in candidates if index not in joins]
    for index in (*reversed(joins), *others):
        if _has_room(buffers, layers, buffers[index], op):
            return index
    return candidates[-1] if candidates else None


def _is_weighted(buffer: Buffer, layers: list[Layer]) -> bool:
    return any(layers[writer].operator in WEIGHTED for writer in buffer.writers)


def _has_room(buffers: list[Buffer], layers: list[Layer], buffer: Buffer, op: int) -> bool:
    """True where Vela's SRAM in use leaves room for `buffer` to live on until `op`."""
    for moment in range(buffer.end, op + 1):
        live = sum(
            other.size_bytes
            for other in buffers
            if other.kind != "weight" and other.start <= moment < other.end
        )
        live += buffer.size_bytes
        out = layers[moment].output
        if moment == op and out is not None and layers[op].operator in WEIGHTED:
            live += prod(out)  # other ops may work in place
        if live > layers[moment].staging_bytes:
            return False
    return True
