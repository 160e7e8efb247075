"""Random small problems, and what is true of them by the definition: slow, obvious code."""

from itertools import product

from hypothesis import strategies as st

from egrl.audit.parts import problem_from_parts
from egrl.audit.problem import (
    Combination,
    ExtraTime,
    Measured,
    Problem,
    ProblemOp,
    ProblemTensor,
    ProblemTier,
    Stream,
)

TIERS = ("outer", "middle", "inner")


def direct_op_seconds(problem: Problem, op: ProblemOp, homes: dict[str, str]) -> float:
    """Time of an op straight from the documentation."""
    if op.measured is not None:
        for combination in op.measured.combinations:
            if all(homes[tensor] == tier for tensor, tier in combination.homes.items()):
                return combination.seconds
        if op.measured.base_s is not None:
            return op.measured.base_s + sum(
                e.seconds for e in op.measured.extra if homes[e.tensor] == e.tier
            )
    loads = [op.compute_s]
    for tier in problem.tiers:
        reads = [s for s in op.reads if homes[s.tensor] == tier.name]
        writes = [s for s in op.writes if homes[s.tensor] == tier.name]
        loads.append(
            sum(s.traffic_bytes for s in reads) / tier.read_bytes_per_s
            + sum(s.traffic_bytes for s in writes) / tier.write_bytes_per_s
            + tier.latency_s * (len(reads) + len(writes))
        )
    return op.fixed_s + max(loads)


def direct_seconds(problem: Problem, homes: dict[str, str]) -> float:
    return sum(direct_op_seconds(problem, op, homes) for op in problem.ops)


def direct_feasible(problem: Problem, homes: dict[str, str]) -> bool:
    for tensor in problem.tensors:
        if tensor.tiers is not None and homes[tensor.name] not in tensor.tiers:
            return False
        if problem.pins.get(tensor.name, homes[tensor.name]) != homes[tensor.name]:
            return False
    for tier in problem.tiers:
        for op in range(len(problem.ops)):
            live = sum(
                t.size_bytes
                for t in problem.tensors
                if homes[t.name] == tier.name and t.start <= op < t.end
            )
            if tier.capacity_bytes is not None and live > tier.capacity_bytes:
                return False
    return True


def direct_optimum(problem: Problem) -> float | None:
    """Latency of the best feasible plan, by looking at every one."""
    names = [tensor.name for tensor in problem.tensors]
    tiers = [tier.name for tier in problem.tiers]
    times = [
        direct_seconds(problem, homes)
        for choice in product(tiers, repeat=len(names))
        if direct_feasible(problem, homes := dict(zip(names, choice, strict=True)))
    ]
    return min(times) if times else None


@st.composite
def problems(
    draw: st.DrawFn,
    max_ops: int = 4,
    max_tensors: int = 6,
    measured: bool = True,
    outer_unbounded: bool = True,
) -> Problem:
    """Problems with contended tiers, some with measured ops, pins and forbidden tiers."""
    tier_count = draw(st.integers(2, 3))
    op_count = draw(st.integers(1, max_ops))
    tensor_count = draw(st.integers(1, max_tensors))
    names = TIERS[:tier_count]
    tiers = []
    for index, name in enumerate(names):
        rate = 10.0**index * draw(st.sampled_from([1.0, 1.0, 1.7]))
        capacity = draw(st.integers(0, 30))
        if index == 0 and outer_unbounded:
            capacity = None
        latency_s = draw(st.sampled_from([0.0, 0.0, 0.5]))
        tiers.append(ProblemTier(name, rate, rate * 0.8, capacity, latency_s))
    tensors = []
    for index in range(tensor_count):
        start = draw(st.integers(0, op_count - 1))
        end = draw(st.integers(start + 1, op_count))
        if draw(st.booleans()):
            start, end = 0, op_count
        allowed = None
        if draw(st.integers(0, 5)) == 0:
            allowed = [names[0], *([names[-1]] if draw(st.booleans()) else [])]
        kind = draw(st.sampled_from(["weight", "activation", "scratch"]))
        size = draw(st.integers(0, 20))
        tensors.append(ProblemTensor(f"t{index}", kind, size, start, end, 1, allowed))
    ops = [draw(_ops(index, tensors, names, measured)) for index in range(op_count)]
    pins = {}
    if draw(st.integers(0, 4)) == 0:
        pins[tensors[0].name] = names[0]
    return problem_from_parts(tiers, tensors, ops, name="random", pins=pins)


@st.composite
def _ops(
    draw: st.DrawFn,
    index: int,
    tensors: list[ProblemTensor],
    names: tuple[str, ...],
    measured: bool,
) -> ProblemOp:
    live = [t for t in tensors if t.start <= index < t.end]
    reads, writes = [], []
    for tensor in live[:4]:
        where = draw(st.integers(0, 3))
        stream = Stream(tensor.name, float(draw(st.integers(0, 40))))
        if where in (1, 3):
            reads.append(stream)
        if where in (2, 3):
            writes.append(stream)
    table = None
    if measured and draw(st.integers(0, 2)) == 0:
        table = draw(_measured(reads, writes, names))
    compute_s = draw(st.sampled_from([0.0, 3.0, 12.0]))
    return ProblemOp(
        f"op{index}", compute_s, draw(st.sampled_from([0.0, 1.0])), reads, writes, table
    )


@st.composite
def _measured(
    draw: st.DrawFn, reads: list[Stream], writes: list[Stream], names: tuple[str, ...]
) -> Measured | None:
    touched = list(dict.fromkeys(s.tensor for s in (*reads, *writes)))
    if not touched:
        return Measured(base_s=float(draw(st.integers(0, 9))))
    base_s = float(draw(st.integers(20, 30))) if draw(st.booleans()) else None
    extra = []
    if base_s is not None:
        extra = [ExtraTime(touched[0], tier, float(draw(st.integers(-9, 20)))) for tier in names]
    keys = draw(
        st.lists(st.tuples(*(st.sampled_from(names) for _ in touched)), max_size=3, unique=True)
    )
    if base_s is None and not keys:
        return None
    return Measured(
        base_s,
        extra,
        [
            Combination(dict(zip(touched, key, strict=True)), float(draw(st.integers(0, 40))))
            for key in keys
        ],
    )
