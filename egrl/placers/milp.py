"""Solve a mixed-integer program in HiGHS, here or in a process of its own.

The process is `python -m egrl.placers.milp`: arrays in on stdin and out on stdout, as `.npz`
without pickle. It leaves the caller's core free for the search, and can be stopped at any time.
"""

import io
import subprocess
import sys
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

READ_SECONDS = 0.05
"""Least time to wait for an answer: a wait of nothing would never read one from the pipe."""


@dataclass(frozen=True, slots=True)
class Program:
    """Minimise `cost x` with `row_lower <= A x <= row_upper`, `0 <= x <= column_upper`.

    Attributes:
        cost: of each column.
        column_upper: of each column.
        integer: which columns are whole.
        row_start: where each row of A begins in the next two (one longer than the rows).
        row_index: columns.
        row_value: coefficients.
        row_lower: of each row.
        row_upper: of each row.
        start_columns: columns whose value in a known solution is given.
        start_values: those values.
    """

    cost: NDArray[np.float64]
    column_upper: NDArray[np.float64]
    integer: NDArray[np.bool_]
    row_start: NDArray[np.int64]
    row_index: NDArray[np.int64]
    row_value: NDArray[np.float64]
    row_lower: NDArray[np.float64]
    row_upper: NDArray[np.float64]
    start_columns: NDArray[np.int32]
    start_values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop; 0 is no limit.

    Attributes:
        seconds: wall time.
        nodes: of branch and bound; with it alone the result is the same on any machine.
        relative_gap: of the program's own bound and solution.
    """

    seconds: float = 0.0
    nodes: int = 0
    relative_gap: float = 1e-4


@dataclass(frozen=True, slots=True)
class Solved:
    """What the solver found.

    Attributes:
        values: of the columns in the best solution; empty where it found none.
        bound: no solution costs less.
        optimal: whether it came to its end.
        infeasible: proven to have no solution.
    """

    values: NDArray[np.float64]
    bound: float
    optimal: bool
    infeasible: bool


def solve_program(program: Program, limits: Limits) -> Solved:
    """Solve in this process, on one thread."""
    lp = highspy.HighsLp()
    lp.num_col_ = len(program.cost)
    lp.num_row_ = len(program.row_lower)
    lp.col_cost_ = program.cost
    lp.col_lower_ = np.zeros(len(program.cost))
    lp.col_upper_ = program.column_upper
    lp.row_lower_ = program.row_lower
    lp.row_upper_ = program.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = program.row_start
    lp.a_matrix_.index_ = program.row_index
    lp.a_matrix_.value_ = program.row_value
    kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
    lp.integrality_ = [kinds[int(whole)] for whole in program.integer]
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("random_seed", 0)
    solver.setOptionValue("mip_rel_gap", limits.relative_gap)
    if limits.seconds > 0:
        solver.setOptionValue("time_limit", float(limits.seconds))
    if limits.nodes > 0:
        solver.setOptionValue("mip_max_nodes", int(limits.nodes))
    solver.passModel(lp)
    if len(program.start_columns):
        solver.setSolution(len(program.start_columns), program.start_columns, program.start_values)
    solver.run()
    status = solver.getModelStatus()
    info = solver.getInfo()
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    values = np.array(solver.getSolution().col_value) if found else np.zeros(0)
    bound = info.mip_dual_bound if np.isfinite(info.mip_dual_bound) else 0.0
    return Solved(
        values,
        float(bound),
        status == highspy.HighsModelStatus.kOptimal,
        status
        in (
            highspy.HighsModelStatus.kInfeasible,
            # No cost is negative, so it is not unbounded.
            highspy.HighsModelStatus.kUnboundedOrInfeasible,
        ),
    )


class BackgroundSolve:
    """A solve in a process of its own; use it as a context manager, which stops it at the end."""

    def __init__(self, program: Program, limits: Limits) -> None:
        """Start it.

        Args:
            program: what to solve.
            limits: when it stops by itself.
        """
        arrays = {name: getattr(program, name) for name in Program.__slots__}
        arrays |= {name: np.array(getattr(limits, name)) for name in Limits.__slots__}
        request = io.BytesIO()
        np.savez(request, allow_pickle=False, **arrays)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "egrl.placers.milp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(request.getvalue())
        self._process.stdin.close()
        self._process.stdin = None

    def __enter__(self) -> "BackgroundSolve":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the process if it still runs."""
        self._process.kill()
        self._process.communicate()

    def wait(self, seconds: float) -> Solved | None:
        """The solution, or None where it takes longer than `seconds`.

        Raises:
            RuntimeError: the process died.
        """
        try:
            answer, _ = self._process.communicate(timeout=max(seconds, READ_SECONDS))
        except subprocess.TimeoutExpired:
            return None
        if self._process.returncode != 0:
            raise RuntimeError(f"the solver process ended with {self._process.returncode}")
        with np.load(io.BytesIO(answer), allow_pickle=False) as arrays:
            return Solved(
                arrays["values"],
                float(arrays["bound"]),
                bool(arrays["optimal"]),
                bool(arrays["infeasible"]),
            )


def _serve() -> None:
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as given:
        program = Program(**{name: given[name] for name in Program.__slots__})
        limits = Limits(float(given["seconds"]), int(given["nodes"]), float(given["relative_gap"]))
    solved = solve_program(program, limits)
    answer = io.BytesIO()
    arrays = {name: np.array(getattr(solved, name)) for name in Solved.__slots__}
    np.savez(answer, allow_pickle=False, **arrays)
    sys.stdout.buffer.write(answer.getvalue())


if __name__ == "__main__":
    _serve()
