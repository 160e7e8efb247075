"""`egrl train`: an agent learns to place one model on one accelerator."""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from egrl.cli.evaluator import add_evaluator, evaluator_command
from egrl.cli.parser import Verbs
from egrl.cli.values import add_dims, extents, positive_number, whole_number
from graph_ir.errors import InputError

NEEDED = {"matplotlib": "matplotlib", "tensorboardX": "tensorboardX", "safetensors": "safetensors"}
"""Module by package, of what the extra `train` installs."""

CONFIG = "config.toml"


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "train",
        help="let an agent learn to place a model, with checkpoints and curves",
        description="Trains an agent on one workload. What is learned and how is said by a file, "
        "by flags, or by both; flags override the file. Everything is kept in a folder.",
    )
    parser.add_argument(
        "config", nargs="?", type=Path, metavar="CONFIG.toml", help="e.g. configs/egrl-paper.toml"
    )
    parser.add_argument("--workload", metavar="MODEL.onnx")
    parser.add_argument("--target", metavar="NAME|FILE.toml", help="accelerator")
    parser.add_argument("--precision", metavar="TYPE", help="execution type, e.g. fp16")
    add_dims(parser)
    parser.add_argument("--agent", metavar="NAME", help="egrl-paper or egrl (default: egrl-paper)")
    parser.add_argument("--steps", type=positive_number, metavar="N", help="evaluations in all")
    parser.add_argument("--seed", type=whole_number, metavar="N", help="default: 0")
    parser.add_argument(
        "--schedule", metavar="fast|paper", help="of egrl-paper; default without a file: fast"
    )
    parser.add_argument(
        "--ablation",
        metavar="NAME",
        help="of egrl-paper: boltzmann-only, gnn-only, no-learner or sac-only",
    )
    add_evaluator(parser)
    parser.add_argument(
        "--machine", metavar="engine|detailed", help="that measures placements (default: engine)"
    )
    parser.add_argument(
        "--jobs", type=positive_number, metavar="N", help="placements measured at the same time"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint of the folder"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="RUN_DIR", help="folder of the run")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Train."""
    for package, module in NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise InputError(f"train: needs {package}; expected egrl[train] to be installed")
    from egrl.training.settings import FIRST_PRESET, first_difference, read_tables, resolve

    folder = _folder(args)
    file = args.config
    if file is None and args.resume:
        file = folder / CONFIG
    agent_table, run_table = read_tables(file) if file is not None else ({}, {})
    agent_table.update(_given(args, {"schedule": "schedule", "ablation": "ablation"}))
    if args.steps is not None:
        agent_table["evaluations"] = args.steps
    run_table.update(_run_flags(args))
    preset = None
    if file is None:
        preset = agent_table.get("schedule", FIRST_PRESET)
    where = str(file) if file is not None else "train"
    config = resolve(agent_table, run_table, preset, where)
    kept = folder / CONFIG
    if args.resume:
        if not kept.is_file():
            raise InputError(f"{folder}: expected a run to resume, and its {CONFIG}")
        difference = first_difference(config, resolve(*read_tables(kept), None, str(kept)))
        if difference is not None:
            raise InputError(f"--resume {folder}: {difference}")

    from accelerator_sim.units import seconds_text
    from egrl.cli.progress import shown_progress
    from egrl.training.run import train_run

    with shown_progress("train", f"{config.agent.evaluations}ev") as progress:
        outcome = train_run(config, folder, resume=args.resume, progress=progress)
    ending = "" if outcome.finished else "stopped early; --resume goes on\n"
    print(
        f"{outcome.generations} generations, {outcome.evaluations} evaluations\n"
        f"best {seconds_text(outcome.best_s)}, {outcome.speedup:.3g} times as fast as native\n"
        f"{ending}wrote {outcome.folder}"
    )
    return 0


def _folder(args: argparse.Namespace) -> Path:
    """Where the run is kept.

    Raises:
        InputError: nothing says so.
    """
    if args.out is not None:
        out: Path = args.out
        return out
    if args.config is None:
        raise InputError("train: expected -o RUN_DIR; see egrl train --help")
    config: Path = args.config
    if config.name == CONFIG and args.resume:
        return config.parent
    return Path(f"{config.stem}.run")


def _given(args: argparse.Namespace, names: dict[str, str]) -> dict[str, Any]:
    found = {key: getattr(args, flag) for key, flag in names.items()}
    return {key: value for key, value in found.items() if value is not None}


def _run_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The keys of `[run]` that flags give."""
    table = _given(
        args,
        {
            key: key
            for key in ("workload", "target", "precision", "agent", "seed", "machine", "jobs")
        },
    )
    for key in ("workload", "target"):
        if key in table and (key == "workload" or table[key].endswith(".toml")):
            table[key] = str(Path(table[key]).absolute())
    if args.dim:
        table["dims"] = extents(args.dim)
    asked = evaluator_command(args)
    if asked is not None:
        table |= {
            "evaluator": asked.line,
            "evaluator_repeats": asked.repeats,
            "evaluator_timeout_s": asked.timeout_s,
        }
        if args.evaluator_jobs is not None:
            table.setdefault("jobs", asked.jobs)
    return table
