"""What a run is: its file, the flags that override it, and both written back in full.

The table `[run]` says what is learned; the keys above it are hyper-parameters of the agent.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from egrl.evaluators.command import Command
from egrl.training.agents import AGENTS
from graph_ir.errors import InputError

MAX_FILE_BYTES = 1 << 20
FIRST_PRESET = ""
"""The first of an agent's schedules, whatever its name."""

ANYWHERE = ("jobs", "checkpoint_seconds", "artifact")
"""Settings that change nothing about the result: another machine may have others."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """The table `[run]`.

    Attributes:
        workload: ONNX file; a relative path is one beside the file that names it.
        target: shipped accelerator, or a TOML file.
        precision: execution type; the target's default where None.
        dims: extents of symbolic dimensions.
        agent: key of `AGENTS`.
        seed: of all randomness.
        machine: that measures placements unless `evaluator` is given.
        evaluator: command that answers a plan with a latency; see `docs/evaluator.md`.
        evaluator_repeats: measurements of every plan, of which the median counts.
        evaluator_timeout_s: time of one measurement until it counts as failed.
        jobs: placements measured at the same time; changes no result.
        checkpoint_seconds: time between two checkpoints; 0 keeps every generation.
        artifact: whether the best placement is written as `egrl compile` does, at the end.
    """

    workload: str = ""
    target: str = ""
    precision: str | None = None
    dims: dict[str, int] = {}
    agent: str = "egrl-paper"
    seed: int = 0
    machine: Literal["engine", "detailed"] = "engine"
    evaluator: str | None = None
    evaluator_repeats: int = 1
    evaluator_timeout_s: float = 60.0
    jobs: int = 1
    checkpoint_seconds: float = 10.0
    artifact: bool = True

    @property
    def command(self) -> Command | None:
        """The machine behind a command, or None."""
        if self.evaluator is None:
            return None
        return Command(self.evaluator, self.evaluator_repeats, self.evaluator_timeout_s, self.jobs)


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that decides what a run finds.

    Attributes:
        settings: the table `[run]`.
        agent: hyper-parameters, as the agent's own type.
    """

    settings: Settings
    agent: Any


def read_tables(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The agent's keys and the table `[run]` of a file, paths made absolute.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: expected at most {MAX_FILE_BYTES} bytes")
        table = msgspec.toml.decode(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path}: {' '.join(str(text).split())}") from error
    run = table.pop("run", {})
    if not isinstance(run, dict):
        raise InputError(f"{path}: run: expected a table")
    for key in ("workload", "target"):
        value = run.get(key)
        if isinstance(value, str) and (key == "workload" or value.endswith(".toml")):
            run[key] = str(path.absolute().parent / value)
    return table, run


def resolve(
    agent_table: Mapping[str, Any],
    run_table: Mapping[str, Any],
    preset: str | None,
    where: str,
) -> RunConfig:
    """Check the tables and fill in what they leave out.

    Args:
        agent_table: hyper-parameters.
        run_table: of `Settings`.
        preset: whose values the hyper-parameters override, or `FIRST_PRESET`; the type's defaults
            where None.
        where: names the source in errors.

    Raises:
        InputError: an unknown key, a wrong type or value, or something is missing.
    """
    try:
        settings = msgspec.convert(run_table, Settings)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: [run]: {error}") from error
    if settings.agent not in AGENTS:
        known = ", ".join(AGENTS)
        raise InputError(f"{where}: agent {settings.agent!a}: expected one of {known}")
    kind = AGENTS[settings.agent]()
    names = [field.name for field in fields(kind.config)]
    for key in agent_table:
        if key not in names:
            raise InputError(f"{where}: {key!a}: unknown key of {settings.agent}")
    presets = kind.presets()
    if preset == FIRST_PRESET:
        preset = next(iter(presets))
    base = kind.config() if preset is None else presets.get(preset)
    if base is None:
        known = ", ".join(presets)
        raise InputError(f"{where}: schedule {preset!a}: expected one of {known}")
    try:
        checked = msgspec.convert({**asdict(base), **agent_table}, kind.config)
    except (msgspec.ValidationError, InputError) as error:
        raise InputError(f"{where}: {error}") from error
    _check(settings, where)
    return RunConfig(settings, checked)


def _check(settings: Settings, where: str) -> None:
    for key, flag in (("workload", "--workload"), ("target", "--target")):
        if not getattr(settings, key):
            raise InputError(f"{where}: expected {flag}, or {key} in the table [run]")
    if not 0 <= settings.seed < 2**63:
        raise InputError(f"{where}: seed: expected 0 or more, got {settings.seed}")
    if not settings.checkpoint_seconds >= 0:
        raise InputError(
            f"{where}: checkpoint_seconds: expected 0 or more, got {settings.checkpoint_seconds}"
        )
    if not 1 <= settings.jobs <= 1000:
        raise InputError(f"{where}: jobs: expected 1 to 1000, got {settings.jobs}")
    if any(extent < 1 for extent in settings.dims.values()):
        raise InputError(f"{where}: dims: expected extents above 0")
    if settings.evaluator is not None:
        if settings.machine != "engine":
            raise InputError(f"{where}: expected either evaluator or machine, got both")
        try:
            command = settings.command
            assert command is not None
            command.arguments()
        except InputError as error:
            raise InputError(f"{where}: {error}") from error


def with_evaluations(config: RunConfig, evaluations: int | None) -> RunConfig:
    """Another budget."""
    if evaluations is None:
        return config
    return replace(config, agent=replace(config.agent, evaluations=evaluations))


def config_text(config: RunConfig) -> str:
    """The file that `read_tables` and `resolve` read back as the same run."""
    run = msgspec.to_builtins(config.settings)
    dims = run.pop("dims")
    lines = [f"{key} = {_value(value)}" for key, value in asdict(config.agent).items()]
    lines += ["", "[run]"]
    lines += [f"{key} = {_value(value)}" for key, value in run.items() if value is not None]
    if dims:
        lines += ["", "[run.dims]"]
        lines += [f"{_value(key)} = {_value(value)}" for key, value in dims.items()]
    return "\n".join(lines) + "\n"


def first_difference(wanted: RunConfig, kept: RunConfig) -> str | None:
    """The first key that a resumed run may not change but does, with both values."""
    for one, other in ((wanted.settings, kept.settings), (wanted.agent, kept.agent)):
        left = msgspec.to_builtins(one)
        right = msgspec.to_builtins(other)
        for key in left:
            if key not in ANYWHERE and left[key] != right.get(key):
                return f"{key}: expected {right.get(key)!a} as in the run, got {left[key]!a}"
    return None


def _value(value: object) -> str:
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for characters above 0xFFFF, which need none, and DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return repr(value)
