"""What a rule says of a group: its products, the space that the cores divide, its operands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.fusion.groups import Group, Reading
from graph_ir.onnx_values import node_name, op_key, shape_of
from graph_ir.workload import MacWork, Role, Split, Window

# The execution type that a value is stored in.
TypeOf = Callable[[ir.Value], str]

BOTH: tuple[Split, ...] = (Split.ROWS, Split.COLUMNS)


@dataclass(frozen=True, slots=True)
class SplitSpace:
    """The shape whose axes the cores divide.

    Attributes:
        shape: of the op's result, or of what it reads where that is what is divided.
        row_axes: axes that `Split.ROWS` divides.
        column_axes: axes that `Split.COLUMNS` divides.
    """

    shape: tuple[int, ...]
    row_axes: tuple[int, ...]
    column_axes: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Extent that `Split.ROWS` divides."""
        return max(1, prod(self.shape[axis] for axis in self.row_axes))

    @property
    def columns(self) -> int:
        """Extent that `Split.COLUMNS` divides."""
        return max(1, prod(self.shape[axis] for axis in self.column_axes))

    def splits(self, shape: Sequence[int]) -> tuple[Split, ...]:
        """The splits under which a core needs only its share of an operand of this shape.

        The shape is aligned to the space as in broadcasting; an operand that has only part of
        the divided extent is needed whole.
        """
        extents = tuple(shape)
        missing = len(self.shape) - len(extents)
        if missing < 0:
            if prod(extents[:-missing]) != 1:
                return self.present(BOTH) if prod(extents) == prod(self.shape) else ()
            extents = extents[-missing:]
        extents = (1,) * max(missing, 0) + extents
        fits = all(a in (1, b) for a, b in zip(extents, self.shape, strict=True))
        if not fits and prod(extents) == prod(self.shape):
            return self.present(BOTH)
        found = []
        if prod(extents[axis] for axis in self.row_axes) == self.rows:
            found.append(Split.ROWS)
        if prod(extents[axis] for axis in self.column_axes) == self.columns:
            found.append(Split.COLUMNS)
        return self.present(tuple(found))

    def present(self, splits: tuple[Split, ...]) -> tuple[Split, ...]:
        """Those of the splits that divide anything in this space."""
        extents = {Split.ROWS: self.rows, Split.COLUMNS: self.columns}
        return tuple(split for split in splits if extents[split] > 1)


@dataclass(frozen=True, slots=True)
class OperandFacts:
    """How a core input is read.

    Attributes:
        role: see `Role`.
        split_by: see `graph_ir.workload.Operand`.
        halo_elements: elements more per core boundary when split by rows.
        touched_elements: elements read, where that is fewer than the views let through.
    """

    role: Role
    split_by: tuple[Split, ...]
    halo_elements: int = 0
    touched_elements: int | None = None


@dataclass(frozen=True, slots=True)
class OpFacts:
    """What a rule says of a group.

    Attributes:
        space: what the cores divide.
        layout: see `graph_ir.workload.Op`.
        mac_work: matrix products.
        operands: by core node and input index; readings that are not listed are broadcast
            against `space`.
        scratch_bytes: working buffer that lives during the op only.
        window: of a pooling.
        vector_ops: of the anchor, where the rule of the family does not count them.
        dequantize_ops: of what is not constant; see `graph_ir.workload.Op`.
        written_elements: of states that it updates, by the value that holds them afterwards.
    """

    space: SplitSpace
    layout: str
    mac_work: tuple[MacWork, ...] = ()
    operands: dict[tuple[ir.Node, int], OperandFacts] = field(default_factory=dict)
    scratch_bytes: int = 0
    window: Window | None = None
    vector_ops: int | None = None
    dequantize_ops: int = 0
    written_elements: dict[ir.Value, int] = field(default_factory=dict)


def channel_axis(rank: int) -> int:
    """The channel axis of an activation: 1 of four or more axes (NCHW), else the last."""
    return 1 if rank >= 4 else max(rank - 1, 0)


def activation_space(shape: tuple[int, ...], undivided: Sequence[int] = ()) -> SplitSpace:
    """Rows and columns of an activation.

    Args:
        shape: of the activation.
        undivided: axes that no core may cut (the axis of a softmax).
    """
    if not shape:
        return SplitSpace((1,), (), ())
    column = channel_axis(len(shape))
    return SplitSpace(
        shape,
        tuple(a for a in range(len(shape)) if a != column and a not in undivided),
        () if column in undivided else (column,),
    )


def factor_type(group: Group, node: ir.Node, index: int, type_of: TypeOf) -> str:
    """The type in which a factor of a product is stored, behind its views and decompression."""
    feeding = [r for r in group.readings if not r.beside and _enters(r, node, index)]
    if not feeding:
        value = node.inputs[index]
        assert value is not None, "a factor of a product is never optional"
        return type_of(value)
    return type_of(max(feeding, key=lambda reading: reading.elements).owner)


def _enters(reading: Reading, node: ir.Node, index: int) -> bool:
    return reading.slot is not None and (reading.slot.node, reading.slot.index) == (node, index)


def input_shape(node: ir.Node, index: int) -> tuple[int, ...]:
    """Shape of an input that the op requires.

    Raises:
        InputError: where it is left out.
    """
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        raise InputError(
            f"node {node_name(node)} ({op_key(node)}): expected an input {index}, got none"
        )
    return shape_of(value)


def output_shape(node: ir.Node) -> tuple[int, ...]:
    """Shape of the first output; where that is left out, of the first that is not."""
    known = (value for value in node.outputs if value.shape is not None)
    return shape_of(next(known, node.outputs[0]))


def has_input(node: ir.Node, index: int) -> bool:
    """True where an optional input is given."""
    return len(node.inputs) > index and node.inputs[index] is not None
