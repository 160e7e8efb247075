"""`egrl audit`: read, judge, print.

The flags that the command line gives it:

    egrl audit PROBLEM.json [--plan THEIRS.json] [--json] [--pins OUT.toml]
               [--import minimalloc|vela] [--capacity BYTES] [--select NAME=VALUE]...
               [--write-problem OUT.json] [--budget SECONDS]

`--import` says that PROBLEM is a CSV of another tool; `--capacity` is then that of the inner
memory (MiniMalloc: needed; Vela: by default what Vela's schedule had in use), `--select` picks
rows of a Vela file, and where no `--plan` is given Vela's own placement is judged.
`--write-problem` saves the problem as it was understood, to be corrected by hand. `--pins` writes
the pins as TOML. Exit codes: 0 done, 2 the input is wrong, 3 their plan does not fit, or none can.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from egrl.audit.audit import TIME_LIMIT_S, audit
from egrl.audit.import_minimalloc import import_minimalloc
from egrl.audit.import_vela import import_vela
from egrl.audit.plan import TheirPlan, read_plan
from egrl.audit.problem import Problem, encode_problem, read_problem
from egrl.audit.text import audit_text, pins_toml
from graph_ir.errors import InputError, UnmetRequirementError

IMPORT_FORMATS = ("minimalloc", "vela")


def run_audit(
    problem_path: Path,
    plan_path: Path | None = None,
    json_output: bool = False,
    import_format: str | None = None,
    *,
    capacity_bytes: int | None = None,
    select: Mapping[str, str] | None = None,
    write_problem: Path | None = None,
    pins_path: Path | None = None,
    time_limit_s: float = TIME_LIMIT_S,
) -> int:
    """Audits a plan and prints the result on stdout.

    Args:
        problem_path: a problem file, or a CSV where `import_format` is given.
        plan_path: their plan; None judges Vela's own for a Vela file, else a first-fit plan.
        json_output: print one JSON object, `egrl.audit.result.AuditResult`, and nothing else.
        import_format: None or one of `IMPORT_FORMATS`.
        capacity_bytes: of the inner memory of an imported problem.
        select: column and value of the rows to take of a Vela file.
        write_problem: where to save the problem.
        pins_path: where to save the pins, as TOML.
        time_limit_s: of the search.

    Returns:
        0, or 3 where their plan does not fit.

    Raises:
        InputError: a file is wrong or cannot be written, or options do not go together.
        UnmetRequirementError: no plan fits the tiers at all.
    """
    if time_limit_s <= 0:
        raise InputError(f"--budget: expected more than 0 s, got {time_limit_s}")
    problem, plan = _load(problem_path, import_format, capacity_bytes, select or {})
    if plan_path is not None:
        plan = read_plan(plan_path)
    if write_problem is not None:
        _write(write_problem, encode_problem(problem))
    plan_name = "plan" if plan_path is None else str(plan_path)
    result = audit(problem, plan, plan_name=plan_name, time_limit_s=time_limit_s)
    if pins_path is not None:
        _write(pins_path, pins_toml(result.pins).encode("utf-8"))
    if json_output:
        sys.stdout.write(msgspec.json.encode(result).decode("utf-8") + "\n")
    else:
        sys.stdout.write(audit_text(result))
    given = result.plan.source == "given"
    return UnmetRequirementError.exit_code if given and not result.plan.fits else 0


def _load(
    path: Path,
    import_format: str | None,
    capacity_bytes: int | None,
    select: Mapping[str, str],
) -> tuple[Problem, TheirPlan | None]:
    if capacity_bytes is not None and capacity_bytes < 0:
        raise InputError(f"--capacity: expected at least 0 bytes, got {capacity_bytes}")
    if select and import_format != "vela":
        raise InputError("--select: expected only with --import vela")
    if import_format is None:
        if capacity_bytes is not None:
            raise InputError("--capacity: expected only with --import; a problem file states it")
        return read_problem(path), None
    if import_format == "minimalloc":
        if capacity_bytes is None:
            raise InputError("--capacity: expected with --import minimalloc, got none")
        return import_minimalloc(path, capacity_bytes), None
    if import_format == "vela":
        imported = import_vela(path, capacity_bytes, select)
        return imported.problem, imported.plan
    raise InputError(f"--import: expected one of {', '.join(IMPORT_FORMATS)}, got {import_format}")


def _write(path: Path, data: bytes) -> None:
    """Writes beside the target, then exchanges, so that no half file is ever there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
