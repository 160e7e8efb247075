"""Plans for tests: made by the allocator, or by hand."""

from collections.abc import Sequence

import msgspec

from accelerator_sim.allocate import Buffer, allocate
from accelerator_sim.plan import (
    IMAGE_TENSOR,
    PLAN_SCHEMA,
    STAGING_TENSOR,
    Copy,
    Plan,
    PlanOp,
    PlanTensor,
    PlanTier,
    Residence,
)

OPS = 4


def tensor(
    name: str,
    kind: str,
    size: int,
    tier: str,
    offset: int,
    start: int,
    end: int,
    mode: str = "shared",
    alignment: int = 64,
) -> PlanTensor:
    place = msgspec.convert(
        {"tier": tier, "mode": mode, "offset": offset, "start": start, "end": end}, Residence
    )
    return PlanTensor(name, kind, size, alignment, None, 0, [place])


def hand_plan() -> Plan:
    """Four ops in a line on three cores: `w1` resident and loaded, `w2` and `w3` streamed."""
    return Plan(
        schema=PLAN_SCHEMA,
        tiers=[PlanTier("dram", 1 << 16), PlanTier("sram", 4096, 3)],
        ops=[
            PlanOp("op0", ["n0"], "columns", ["x", "w1"], ["a"]),
            PlanOp("op1", ["n1"], "rows", ["a"], ["b"]),
            PlanOp("op2", ["n2"], "none", ["b_view", "w2"], ["c"]),
            PlanOp("op3", ["n3"], "none", ["c", "w3"], ["y"]),
        ],
        tensors=[
            tensor("x", "io", 512, "dram", 0, 0, OPS),
            tensor("y", "io", 512, "dram", 512, 3, OPS),
            tensor("w2", "weight", 1024, "dram", 1024, 0, OPS),
            tensor("w3", "weight", 640, "dram", 2048, 0, OPS),
            tensor(IMAGE_TENSOR, "scratch", 1536, "dram", 4096, 0, OPS),
            tensor("w1", "weight", 1500, "sram", 0, 0, OPS, "partitioned"),
            tensor("a", "activation", 500, "sram", 512, 0, 2, "replicated"),
            tensor("b", "activation", 512, "sram", 1024, 1, 3, "replicated"),
            PlanTensor("b_view", "activation", 256, 64, "b", 256, []),
            tensor("c", "activation", 512, "sram", 512, 2, 4, "replicated"),
            tensor(STAGING_TENSOR, "scratch", 1536, "sram", 2048, 0, OPS, "replicated"),
        ],
        copies=[
            Copy("w1", "dram", 4096, "sram", 0, 1500, 0, "load", 0, 0, "partitioned"),
            # Fetched one op ahead, then what is left arrives late, in two slots.
            Copy("w2", "dram", 1024, "sram", 2048, 512, 0, "steady", 1, 2, "replicated"),
            Copy("w2", "dram", 1536, "sram", 2560, 512, 0, "steady", 2, 3, "replicated"),
            Copy("w3", "dram", 2048, "sram", 3072, 512, 0, "steady", 2, 3, "replicated"),
            Copy("w3", "dram", 2560, "sram", 2560, 128, 0, "steady", 3, 4, "replicated"),
        ],
    )


def plan_of(buffers: Sequence[Buffer], ops: int) -> Plan:
    """A plan with the allocator's offsets, in one memory that is just high enough."""
    result = allocate(buffers, 1 << 40, node_budget=0)
    return Plan(
        schema=PLAN_SCHEMA,
        tiers=[PlanTier("only", result.height_bytes)],
        ops=[PlanOp(f"op{i}", []) for i in range(ops)],
        tensors=[
            tensor(b.name, "scratch", b.size_bytes, "only", at, b.lower, b.upper, "shared",
                   b.alignment_bytes)
            for b, at in zip(buffers, result.offsets, strict=True)
        ],
        copies=[],
    )  # fmt: skip


def moved(plan: Plan, name: str, /, **changes: object) -> Plan:
    """The plan with one tensor's first residence changed."""
    return changed(
        plan,
        name,
        residences=[
            msgspec.structs.replace(t.residences[0], **changes)
            for t in plan.tensors
            if t.name == name
        ],
    )


def changed(plan: Plan, name: str, /, **changes: object) -> Plan:
    """The plan with fields of one tensor changed."""
    return msgspec.structs.replace(
        plan,
        tensors=[
            msgspec.structs.replace(t, **changes) if t.name == name else t for t in plan.tensors
        ],
    )


def with_copy(plan: Plan, index: int, **changes: object) -> Plan:
    """The plan with fields of one copy changed."""
    copies = list(plan.copies)
    copies[index] = msgspec.structs.replace(copies[index], **changes)
    return msgspec.structs.replace(plan, copies=copies)
