"""The placement graph: fused ops in execution order, and the tensors that they read and write.

A `Workload` is all that the simulator and the placers know of a model. It holds no hardware:
bytes are counted in execution types, work in multiply-accumulates and vector operations.
"""

from dataclasses import dataclass
from enum import StrEnum


class TensorKind(StrEnum):
    """What a tensor is for, which decides how long it lives and where it may be."""

    WEIGHT = "weight"
    ACTIVATION = "activation"
    STATE = "state"
    SCRATCH = "scratch"
    IO = "io"


class OpFamily(StrEnum):
    """How an op is executed, and so which rule of the cost model prices it."""

    CONV = "conv"
    MATMUL = "matmul"
    ATTENTION = "attention"
    ELEMENTWISE = "elementwise"
    NORMALIZATION = "normalization"
    SOFTMAX = "softmax"
    POOLING = "pooling"
    REDUCTION = "reduction"
    RESIZE = "resize"
    GATHER = "gather"
    MOVEMENT = "movement"
    RECURRENT = "recurrent"
    QUANTIZATION = "quantization"


class Split(StrEnum):
    """The dimension along which the cores share an op.

    ROWS: output pixels or tokens (the M of a matrix product). COLUMNS: output channels or heads
    (its N, or its batch of heads). NONE: the op runs on one core.
    """

    ROWS = "rows"
    COLUMNS = "columns"
    NONE = "none"


class Role(StrEnum):
    """What an operand is to its op. LEFT and RIGHT are the factors of the matrix product."""

    LEFT = "left"
    RIGHT = "right"
    OTHER = "other"
    OUTPUT = "output"
    SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A buffer that needs memory.

    Attributes:
        name: the ONNX value that it holds (unique in the workload).
        kind: see `TensorKind`.
        shape: extents of the stored axes.
        data_type: execution type, a key of `graph_ir.datatypes.BITS`.
        size_bytes: stored bytes, densely packed.
        start: index of the first op at which it is live (weights, states and inputs: 0).
        end: one past the index of the last op at which it is live (weights, states and
            outputs: the number of ops).
        alias_of: index of the tensor whose memory it shares, or None. An aliased tensor has no
            placement of its own.
        alias_offset_bytes: where in that tensor it begins.
        channels: extent of the channel axis, 0 where it has none (for layout rounding).
        written_as: of a state, the ONNX value that it holds once it is written; "" where that has
            no name of its own.
    """

    name: str
    kind: TensorKind
    shape: tuple[int, ...]
    data_type: str
    size_bytes: int
    start: int
    end: int
    alias_of: int | None = None
    alias_offset_bytes: int = 0
    channels: int = 0
    written_as: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """The sliding window of a two-dimensional convolution or pooling, extents as height and width.

    Attributes:
        input_size: before padding.
        kernel: taps of the window.
        strides: from one output to the next.
        dilations: from one tap to the next.
        output_size: of one image.
    """

    input_size: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    output_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class MacWork:
    """A batch of matrix products `[rows, inner] x [inner, columns]`.

    A convolution has rows = batch * OH * OW, inner = kh * kw * Cin / groups,
    columns = Cout / groups and batch = groups; a depthwise one is marked, since arrays that
    reduce over input channels waste that dimension on it.

    Attributes:
        batch: independent products (heads, groups).
        rows: M.
        inner: K.
        columns: N.
        kernel_positions: kh * kw of a convolution, 1 of a matrix product.
        depthwise: True for a convolution with one input channel per group.
        left_type: execution type of the left factor (activation).
        right_type: execution type of the right factor (weight or activation).
        window: of a convolution of at most two dimensions that is not transposed; None elsewhere.
    """

    batch: int
    rows: int
    inner: int
    columns: int
    kernel_positions: int = 1
    depthwise: bool = False
    left_type: str = "fp16"
    right_type: str = "fp16"
    window: Window | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates, padding not counted out."""
        return self.batch * self.rows * self.inner * self.columns


@dataclass(frozen=True, slots=True)
class Operand:
    """One tensor as one op reads or writes it.

    Attributes:
        tensor: index into `Workload.tensors`; never an aliased tensor but the one that owns
            the memory.
        role: see `Role`.
        traffic_bytes: bytes that the op moves when it reads or writes the operand once (a gather
            touches only the rows that it picks).
        split_by: the splits under which each core needs only its share of it; under the others
            every core needs the whole.
        halo_bytes: extra bytes per core boundary when split by rows (overlap of a kernel).
        fresh: of a state that an earlier op of the same inference wrote: what was fetched ahead of
            that op would be stale, so it is read from its home while its op runs.
    """

    tensor: int
    role: Role
    traffic_bytes: int
    split_by: tuple[Split, ...] = ()
    halo_bytes: int = 0
    fresh: bool = False

    @property
    def is_write(self) -> bool:
        """True where the op writes the operand."""
        return self.role is Role.OUTPUT


@dataclass(frozen=True, slots=True)
class Op:
    """A fused operator.

    Attributes:
        name: unique in the workload.
        family: which cost rule applies.
        nodes: names of the ONNX nodes that it fuses, in topological order; view nodes (Reshape,
            streamed Transpose, ...) that it reads through are among them.
        operands: reads first, in order of first use, then scratch, then writes.
        mac_work: matrix products; empty for vector ops.
        vector_ops: elementary operations on the vector unit (one add, compare or multiply on
            one element is 1), epilogues included.
        rows: extent of the dimension that `Split.ROWS` divides.
        columns: extent of the dimension that `Split.COLUMNS` divides.
        layout: what the op family wants its activations stored as: "mac", "vector", "linear".
        execution_type: type of its arithmetic.
        window: of a pooling of at most two dimensions.
        dequantize_ops: elementary operations that widen weights whose scales differ along the
            summed axis; a weight decoder or the vector unit does them, as the target has it.
            Scales of whole output channels are applied to the result.
    """

    name: str
    family: OpFamily
    nodes: tuple[str, ...]
    operands: tuple[Operand, ...]
    mac_work: tuple[MacWork, ...]
    vector_ops: int
    rows: int
    columns: int
    layout: str
    execution_type: str
    window: Window | None = None
    dequantize_ops: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all its products."""
        return sum(work.macs for work in self.mac_work)


@dataclass(frozen=True, slots=True)
class Workload:
    """Ops in topological order and their tensors.

    Attributes:
        name: of the graph (`main`, `prefill`, `decode`).
        execution_type: default type of the lowering.
        ops: in execution order.
        tensors: in order of first appearance.
    """

    name: str
    execution_type: str
    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(op.macs for op in self.ops)

    @property
    def weight_bytes(self) -> int:
        """Stored bytes of all weights."""
        return sum(t.size_bytes for t in self.tensors if t.kind is TensorKind.WEIGHT)

    @property
    def state_bytes(self) -> int:
        """Stored bytes of all states."""
        return sum(t.size_bytes for t in self.tensors if t.kind is TensorKind.STATE)
