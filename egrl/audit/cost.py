"""What an op takes for given homes: the problem compiled to index tables.

The time of op *i* under homes *h* is one of

- streams: `fixed_s + max(compute_s, max over tiers m of load(m))`, where `load(m)` is the sum over
  the op's streams whose tensor lives in *m* of `traffic_bytes / bandwidth(m) + latency_s(m)`,
  reads over the read bandwidth, writes over the write bandwidth: streams of a tier share it,
  tiers work side by side, arithmetic overlaps with all of them;
- measured, additive: `base_s + sum over the named tensors of extra(tensor, h(tensor))`;
- measured, whole: the time given for exactly these homes, and where none is given one of the two
  above.

The latency of a plan is the sum over its ops. A plan is feasible when at every op the sizes of the
live tensors of every tier stay within its capacity.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from egrl.audit.problem import Problem, ProblemOp
from egrl.audit.problem_check import allowed_tiers, touched_tensors


class Rule(ABC):
    """How one op is timed.

    Attributes:
        tensors: indices of the tensors that its time depends on.
    """

    __slots__ = ("tensors",)
    tensors: tuple[int, ...]

    @abstractmethod
    def seconds(self, homes: Sequence[int]) -> float:
        """Time of the op.

        Args:
            homes: a tier index for every tensor of the problem.
        """

    @abstractmethod
    def least(self, allowed_T: Sequence[tuple[int, ...]]) -> float:
        """A time that no homes beat, capacity ignored.

        Args:
            allowed_T: tiers that may hold each tensor of the problem.
        """


class StreamRule(Rule):
    """Arithmetic and streams overlap; streams of one tier share it.

    Attributes:
        fixed_s: overlaps with nothing.
        compute_s: overlaps with the streams.
        rows: for each of `tensors`, the seconds that its streams take of each tier.
    """

    __slots__ = ("compute_s", "fixed_s", "rows", "tier_count")

    def __init__(
        self,
        fixed_s: float,
        compute_s: float,
        tensors: tuple[int, ...],
        rows: tuple[tuple[float, ...], ...],
        tier_count: int,
    ) -> None:
        self.tensors = tensors
        self.fixed_s = fixed_s
        self.compute_s = compute_s
        self.rows = rows
        self.tier_count = tier_count

    def seconds(self, homes: Sequence[int]) -> float:
        """The formula for streams in the module's docstring."""
        loads = [0.0] * self.tier_count
        for tensor, row in zip(self.tensors, self.rows, strict=True):
            home = homes[tensor]
            loads[home] += row[home]
        return self.fixed_s + max(self.compute_s, max(loads))

    def least(self, allowed_T: Sequence[tuple[int, ...]]) -> float:
        """Compute time, or the longest single operand in its fastest tier."""
        single = [
            min(row[tier] for tier in allowed_T[tensor])
            for tensor, row in zip(self.tensors, self.rows, strict=True)
        ]
        return self.fixed_s + max(self.compute_s, *single, 0.0)


class AdditiveRule(Rule):
    """Measured base and extras.

    Attributes:
        base_s: before the extras.
        rows: for each of `tensors`, the extra seconds of each tier (0 where it may not live).
    """

    __slots__ = ("base_s", "rows")

    def __init__(
        self, base_s: float, tensors: tuple[int, ...], rows: tuple[tuple[float, ...], ...]
    ) -> None:
        self.tensors = tensors
        self.base_s = base_s
        self.rows = rows

    def seconds(self, homes: Sequence[int]) -> float:
        """Base plus extras."""
        total = self.base_s
        for tensor, row in zip(self.tensors, self.rows, strict=True):
            total += row[homes[tensor]]
        return total

    def least(self, allowed_T: Sequence[tuple[int, ...]]) -> float:
        """Every tensor in its fastest tier."""
        return self.base_s + sum(
            min(row[tier] for tier in allowed_T[tensor])
            for tensor, row in zip(self.tensors, self.rows, strict=True)
        )


class TableRule(Rule):
    """A time for every combination of homes.

    Attributes:
        times: seconds by the homes of `tensors`, in that order.
    """

    __slots__ = ("times",)

    def __init__(self, tensors: tuple[int, ...], times: dict[tuple[int, ...], float]) -> None:
        self.tensors = tensors
        self.times = times

    def seconds(self, homes: Sequence[int]) -> float:
        """The entry of the table."""
        return self.times[tuple(homes[tensor] for tensor in self.tensors)]

    def least(self, allowed_T: Sequence[tuple[int, ...]]) -> float:
        """The least entry."""
        return min(self.times.values())


@dataclass(frozen=True, slots=True)
class CostTable:
    """A problem over indices: T tensors, N ops, M tiers.

    Attributes:
        problem: what it was made from.
        tier_names_M: outermost first.
        capacity_bytes_M: None where unbounded.
        tensor_names_T: in the problem's order.
        size_bytes_T: of each tensor.
        start_T: first op.
        end_T: one past the last op.
        allowed_T: tiers that may hold each tensor, pins applied.
        rules_N: how each op is timed.
        ops_T: the ops whose time depends on each tensor.
    """

    problem: Problem
    tier_names_M: tuple[str, ...]
    capacity_bytes_M: tuple[int | None, ...]
    tensor_names_T: tuple[str, ...]
    size_bytes_T: tuple[int, ...]
    start_T: tuple[int, ...]
    end_T: tuple[int, ...]
    allowed_T: tuple[tuple[int, ...], ...]
    rules_N: tuple[Rule, ...]
    ops_T: tuple[tuple[int, ...], ...]

    def seconds(self, homes: Sequence[int]) -> float:
        """Latency of a plan, feasible or not: the sum over its ops."""
        return sum(rule.seconds(homes) for rule in self.rules_N)

    def combinations(self, rule: Rule) -> int:
        """How many combinations of allowed homes the tensors of a rule have."""
        count = 1
        for tensor in rule.tensors:
            count *= len(self.allowed_T[tensor])
        return count

    def enumerate_times(self, rule: Rule) -> dict[tuple[int, ...], float]:
        """The time of an op for every combination of allowed homes of `rule.tensors`."""
        homes = [0] * len(self.tensor_names_T)
        times: dict[tuple[int, ...], float] = {}
        for key in product(*(self.allowed_T[tensor] for tensor in rule.tensors)):
            for tensor, tier in zip(rule.tensors, key, strict=True):
                homes[tensor] = tier
            times[key] = rule.seconds(homes)
        return times


def compile_costs(problem: Problem) -> CostTable:
    """Compiles a checked problem."""
    index = {tensor.name: i for i, tensor in enumerate(problem.tensors)}
    allowed = tuple(allowed_tiers(problem, tensor) for tensor in problem.tensors)
    rules = tuple(_rule(op, problem, index, allowed) for op in problem.ops)
    ops_of: list[list[int]] = [[] for _ in problem.tensors]
    for number, rule in enumerate(rules):
        for tensor in rule.tensors:
            ops_of[tensor].append(number)
    return CostTable(
        problem=problem,
        tier_names_M=tuple(tier.name for tier in problem.tiers),
        capacity_bytes_M=tuple(tier.capacity_bytes for tier in problem.tiers),
        tensor_names_T=tuple(tensor.name for tensor in problem.tensors),
        size_bytes_T=tuple(tensor.size_bytes for tensor in problem.tensors),
        start_T=tuple(tensor.start for tensor in problem.tensors),
        end_T=tuple(tensor.end for tensor in problem.tensors),
        allowed_T=allowed,
        rules_N=rules,
        ops_T=tuple(tuple(ops) for ops in ops_of),
    )


def _rule(
    op: ProblemOp,
    problem: Problem,
    index: dict[str, int],
    allowed: tuple[tuple[int, ...], ...],
) -> Rule:
    measured = op.measured
    if measured is None:
        return _stream_rule(op, problem, index)
    fallback: Rule
    if measured.base_s is None:
        fallback = _stream_rule(op, problem, index)
    else:
        tier_index = {tier.name: m for m, tier in enumerate(problem.tiers)}
        rows: dict[int, list[float]] = {}
        for entry in measured.extra:
            row = rows.setdefault(index[entry.tensor], [0.0] * len(problem.tiers))
            row[tier_index[entry.tier]] = entry.seconds
        fallback = AdditiveRule(
            measured.base_s, tuple(rows), tuple(tuple(row) for row in rows.values())
        )
    if not measured.combinations:
        return fallback
    names = touched_tensors(op)
    tensors = tuple(index[name] for name in names)
    tier_index = {tier.name: m for m, tier in enumerate(problem.tiers)}
    given = {
        tuple(tier_index[c.homes[name]] for name in names): c.seconds for c in measured.combinations
    }
    homes = [0] * len(problem.tensors)
    times: dict[tuple[int, ...], float] = {}
    for key in product(*(allowed[tensor] for tensor in tensors)):
        for tensor, tier in zip(tensors, key, strict=True):
            homes[tensor] = tier
        times[key] = given[key] if key in given else fallback.seconds(homes)
    return _without_idle_tensors(tensors, times)


def _without_idle_tensors(
    tensors: tuple[int, ...], times: dict[tuple[int, ...], float]
) -> TableRule:
    """The table over only those tensors whose home makes a difference to it."""
    place = 0
    while place < len(tensors):
        shorter: dict[tuple[int, ...], float] = {}
        for key, seconds in times.items():
            rest = key[:place] + key[place + 1 :]
            if shorter.setdefault(rest, seconds) != seconds:
                place += 1
                break
        else:
            tensors = tensors[:place] + tensors[place + 1 :]
            times = shorter
    return TableRule(tensors, times)


def _stream_rule(op: ProblemOp, problem: Problem, index: dict[str, int]) -> StreamRule:
    rows: dict[int, list[float]] = {}
    for is_write, streams in ((False, op.reads), (True, op.writes)):
        for stream in streams:
            row = rows.setdefault(index[stream.tensor], [0.0] * len(problem.tiers))
            for m, tier in enumerate(problem.tiers):
                rate = tier.write_bytes_per_s if is_write else tier.read_bytes_per_s
                row[m] += stream.traffic_bytes / rate + tier.latency_s
    return StreamRule(
        fixed_s=op.fixed_s,
        compute_s=op.compute_s,
        tensors=tuple(rows),
        rows=tuple(tuple(row) for row in rows.values()),
        tier_count=len(problem.tiers),
    )
