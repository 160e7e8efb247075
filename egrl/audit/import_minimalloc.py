"""MiniMalloc's CSV (`id,lower,upper,size`) as a placement problem.

The format has lifetimes and sizes but no ops, tiers or traffic. Ops are the spans between the
distinct times of the file. Each buffer is written once, in full, when it becomes live and read
once, in full, at the last op of its life; arithmetic takes no time. The question that remains is:
which buffers should have the small memory, if the others go to a larger, slower one.
"""

from pathlib import Path

from egrl.audit.csv_input import read_rows
from egrl.audit.parts import problem_from_parts
from egrl.audit.problem import Problem, ProblemOp, ProblemTensor, ProblemTier, Stream
from graph_ir.errors import InputError

COLUMNS = ("id", "lower", "upper", "size")
INNER_BYTES_PER_S = 100e9
OUTER_BYTES_PER_S = 10e9


def import_minimalloc(
    path: Path,
    capacity_bytes: int,
    *,
    inner_bytes_per_s: float = INNER_BYTES_PER_S,
    outer_bytes_per_s: float = OUTER_BYTES_PER_S,
) -> Problem:
    """Reads a MiniMalloc problem.

    Args:
        path: of the CSV; further columns (`offset`, `alignment`, ...) are ignored except
            `alignment`.
        capacity_bytes: of the inner tier; the outer one is unbounded.
        inner_bytes_per_s: bandwidth of the inner tier. MiniMalloc gives none, so that only the
            ratio of the two matters to which buffers go where.
        outer_bytes_per_s: bandwidth of the outer tier.

    Raises:
        InputError: the file cannot be read or a row is not a buffer.
    """
    buffers: list[tuple[str, int, int, int, int]] = []
    for row in read_rows(path, COLUMNS):
        lower, upper, size = (row.integer(name) for name in COLUMNS[1:])
        alignment = row.integer("alignment") if "alignment" in row.fields else 1
        if lower >= upper:
            raise InputError(f"{row.at}: expected lower < upper, got {lower} and {upper}")
        buffers.append((row.fields["id"], lower, upper, size, alignment))
    times = sorted({time for _, lower, upper, _, _ in buffers for time in (lower, upper)})
    op_at = {time: index for index, time in enumerate(times)}
    reads: list[list[Stream]] = [[] for _ in times[:-1]]
    writes: list[list[Stream]] = [[] for _ in times[:-1]]
    tensors: list[ProblemTensor] = []
    for name, lower, upper, size, alignment in buffers:
        start, end = op_at[lower], op_at[upper]
        tensors.append(ProblemTensor(name, "activation", size, start, end, alignment))
        writes[start].append(Stream(name, float(size)))
        reads[end - 1].append(Stream(name, float(size)))
    return problem_from_parts(
        tiers=(
            ProblemTier("outer", outer_bytes_per_s, outer_bytes_per_s),
            ProblemTier("inner", inner_bytes_per_s, inner_bytes_per_s, capacity_bytes),
        ),
        tensors=tensors,
        ops=[
            ProblemOp(f"t{time}", reads=reads[index], writes=writes[index])
            for index, time in enumerate(times[:-1])
        ],
        name=path.stem,
    )
