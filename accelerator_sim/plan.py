"""The plan: a placement with addresses, lifetimes and the DMA schedule; `NAME.plan.json`.

This is the contract with every runtime; its fields are those of the file.
"""

from typing import Literal

import msgspec

PLAN_SCHEMA = 1
STAGING_TENSOR = "@staging"
IMAGE_TENSOR = "@image"


class PlanTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A memory: `cores` copies of it exist where each core has its own.

    Attributes:
        name: of the tier.
        capacity_bytes: per core where `cores` is above 1.
        cores: 1 for a shared tier.
    """

    name: str
    capacity_bytes: int
    cores: int = 1


class PlanOp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An op in execution order.

    Attributes:
        name: of the op.
        nodes: the ONNX nodes that it fuses, in topological order.
        split: `rows`, `columns` or `none`: how the cores share it.
        reads: names of the tensors that it reads.
        writes: names of the tensors that it writes.
    """

    name: str
    nodes: list[str]
    split: str = "none"
    reads: list[str] = []
    writes: list[str] = []


class Residence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a tensor lies over a span of ops.

    Attributes:
        tier: name.
        mode: `shared`, `replicated` or `partitioned` (a share of ceil(size / cores) bytes on
            every core, all at the same offset).
        offset: first byte.
        start: index of the first op.
        end: one past the last op; beyond the number of ops it reaches into the next inference.
    """

    tier: str
    mode: Literal["shared", "replicated", "partitioned"]
    offset: int
    start: int
    end: int


class PlanTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A buffer.

    `@staging` is the ring that slices of streamed weights pass through, `@image` the outermost
    copy of the weights that are loaded inwards before the first inference.

    Attributes:
        name: ONNX value name, or one of the two above.
        kind: weight, activation, state, scratch or io.
        size_bytes: stored bytes of the whole tensor.
        alignment_bytes: its offsets are multiples of this.
        alias_of: name of the tensor whose memory it shares, or null.
        alias_offset: where in that tensor it begins.
        residences: in order of time; a static placement has one.
        data_type: execution type.
        shape: stored extents.
    """

    name: str
    kind: str
    size_bytes: int
    alignment_bytes: int
    alias_of: str | None
    alias_offset: int
    residences: list[Residence]
    data_type: str = ""
    shape: list[int] = []


class Copy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One DMA transfer.

    Attributes:
        tensor: whose bytes it moves.
        from_tier: name.
        from_offset: first byte.
        to_tier: name.
        to_offset: first byte (per core in a per-core tier).
        size_bytes: unique bytes.
        channel: transfers of one channel run in the order in which they are listed.
        phase: `load` before the first inference, `steady` in every inference.
        after_op: may begin when this op begins.
        before_op: must have ended when this op begins.
        mode: how it arrives in a per-core tier: `replicated` to every core, or `partitioned`
            (core c receives the c-th of `cores` equal shares, the last may be shorter).
    """

    tensor: str
    from_tier: str
    from_offset: int
    to_tier: str
    to_offset: int
    size_bytes: int
    channel: int
    phase: Literal["load", "steady"]
    after_op: int
    before_op: int
    mode: Literal["shared", "replicated", "partitioned"] = "shared"


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A placement that can be executed.

    Attributes:
        schema: `PLAN_SCHEMA`.
        tiers: from outermost to innermost.
        ops: in execution order.
        tensors: every buffer.
        copies: the DMA schedule, in order of issue.
    """

    schema: int
    tiers: list[PlanTier]
    ops: list[PlanOp]
    tensors: list[PlanTensor]
    copies: list[Copy]
