"""The neutral placement problem: tiers, tensors with lifetimes, ops in order, their cost.

The file is JSON with the fields of `Problem`; `docs/audit.md` says what each means and how an op
is timed. Times are seconds, sizes bytes, lifetimes half-open intervals `[start, end)` of op
indices.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from egrl.audit.json_input import decode_json, read_text
from egrl.audit.problem_check import check_problem

PROBLEM_SCHEMA = 1

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Index = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
ByteCount = Annotated[int, msgspec.Meta(ge=0, le=2**52)]
Traffic = Annotated[float, msgspec.Meta(ge=0, le=1e18)]
Rate = Annotated[float, msgspec.Meta(ge=1e-3, le=1e18)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
SignedSeconds = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Kind = Literal["weight", "activation", "state", "scratch", "io"]


class ProblemTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A memory.

    Attributes:
        name: unique.
        read_bytes_per_s: bandwidth of reads.
        write_bytes_per_s: bandwidth of writes.
        capacity_bytes: what live tensors may take of it, or null where it never fills up.
        latency_s: paid once by every stream of an op that reads or writes this tier.
    """

    name: Name
    read_bytes_per_s: Rate
    write_bytes_per_s: Rate
    capacity_bytes: ByteCount | None = None
    latency_s: Seconds = 0.0


class ProblemTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A buffer that needs a tier.

    Attributes:
        name: unique.
        kind: weight, activation, state, scratch or io; shown in reports, never priced.
        size_bytes: what it takes of a tier's capacity while it is live.
        start: index of the first op at which it is live.
        end: one past the last (weights and states: 0 and the number of ops).
        alignment_bytes: offsets in a plan must be multiples of it.
        tiers: names of the tiers that may hold it; null: any.
    """

    name: Name
    kind: Kind
    size_bytes: ByteCount
    start: Index
    end: Index
    alignment_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**32)] = 1
    tiers: list[Name] | None = None


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes that an op moves to or from a tensor, re-reads included.

    Attributes:
        tensor: name.
        traffic_bytes: may be more or less than the tensor's size.
    """

    tensor: Name
    traffic_bytes: Traffic


class ExtraTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an op takes beyond its base time when a tensor lives in a tier.

    Attributes:
        tensor: name.
        tier: name.
        seconds: may be negative where the base was measured in a slow tier.
    """

    tensor: Name
    tier: Name
    seconds: SignedSeconds


class Combination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The measured time of a whole op with its tensors in given tiers.

    Attributes:
        homes: a tier for each tensor that the op touches.
        seconds: the op's whole time.
    """

    homes: dict[Name, Name]
    seconds: Seconds


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured times of one op; they replace the computed ones.

    Attributes:
        base_s: the op's time before the extras, or null where only `combinations` are given.
        extra: an entry for each allowed tier of every tensor that is named at all.
        combinations: whole-op times; homes that none of them names fall back on base and
            extras, or where there is no base on the streams.
    """

    base_s: Seconds | None = None
    extra: list[ExtraTime] = []
    combinations: list[Combination] = []


class ProblemOp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of the program.

    Attributes:
        name: shown in reports; need not be unique.
        compute_s: time of its arithmetic, which overlaps with its streams.
        fixed_s: time that overlaps with nothing (launch, fill).
        reads: streams from tensors.
        writes: streams to tensors.
        measured: measured times, or null.
    """

    name: Name
    compute_s: Seconds = 0.0
    fixed_s: Seconds = 0.0
    reads: list[Stream] = []
    writes: list[Stream] = []
    measured: Measured | None = None


class Problem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A placement problem.

    Attributes:
        schema: `PROBLEM_SCHEMA`.
        tiers: from outermost to innermost.
        tensors: each needs one tier.
        ops: in execution order.
        name: of the model, shown in reports.
        pins: tier by tensor name; these are given, not chosen.
    """

    schema: int
    tiers: Annotated[list[ProblemTier], msgspec.Meta(min_length=1, max_length=16)]
    tensors: Annotated[list[ProblemTensor], msgspec.Meta(max_length=200_000)]
    ops: Annotated[list[ProblemOp], msgspec.Meta(min_length=1, max_length=1_000_000)]
    name: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    pins: dict[Name, Name] = {}


def read_problem(path: Path) -> Problem:
    """Reads and checks a problem file.

    Raises:
        InputError: the file cannot be read, is not JSON of this form, or contradicts itself.
    """
    return parse_problem(read_text(path), str(path))


def parse_problem(text: str, where: str) -> Problem:
    """Decodes and checks the text of a problem file.

    Args:
        text: JSON.
        where: what to call it in error messages.

    Raises:
        InputError: as `read_problem`.
    """
    problem = decode_json(text, Problem, where, PROBLEM_SCHEMA)
    check_problem(problem, where)
    return problem


def encode_problem(problem: Problem) -> bytes:
    """The problem as indented JSON, the same bytes for the same problem."""
    return msgspec.json.format(msgspec.json.encode(problem), indent=1) + b"\n"
