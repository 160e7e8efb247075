"""Small runs, and what of a run must be the same whenever and wherever it is made."""

import json
from pathlib import Path

from safetensors.numpy import load_file

from egrl.placers.base import no_progress
from egrl.training.run import Outcome, train_run
from egrl.training.settings import RunConfig, resolve

SMALL = {
    "schedule": "fast",
    "hidden": 8,
    "depth": 2,
    "heads": 2,
    "batch": 4,
    "learning_start": 30,
    "evaluations": 130,
    "gradient_steps_per_evaluation": 0.1,
}
TARGET = "nnp-i"
EVERY = {"checkpoint_seconds": 0.0, "artifact": False}


def config(model: Path, run: dict[str, object] | None = None, **agent: object) -> RunConfig:
    table = {"workload": str(model), "target": TARGET, "seed": 3, **EVERY}
    return resolve({**SMALL, **agent}, {**table, **(run or {})}, None, "test")


def train(wanted: RunConfig, folder: Path, resume: bool = False) -> Outcome:
    return train_run(wanted, folder, resume=resume, progress=no_progress)


def kept(folder: Path) -> tuple[bytes, dict[str, object], dict[str, bytes]]:
    """Metrics, the state without what depends on the clock, and all tensors."""
    state = json.loads((folder / "checkpoint" / "state.json").read_text("utf-8"))
    tensors = load_file(folder / "checkpoint" / state["tensors"]["name"])
    del state["timing_bytes"]
    return (
        (folder / "metrics.jsonl").read_bytes(),
        state,
        {name: array.tobytes() for name, array in tensors.items()},
    )


def config_file(path: Path, model: Path, run: str = "", agent: str = "") -> Path:
    lines = [f"{key} = {json.dumps(value)}" for key, value in SMALL.items() if key not in agent]
    head = f'[run]\nworkload = "{model}"\ntarget = "{TARGET}"\n'
    head += "".join(f"{key} = {json.dumps(value)}\n" for key, value in EVERY.items())
    path.write_text("\n".join([*lines, agent, head, run]), "utf-8")
    return path


OURS = {"evaluations": 40, "plan_evaluations": 60, "model_evaluations": 90, "retries": 2}


def ours(model: Path, run: dict[str, object] | None = None, **agent: object) -> RunConfig:
    table = {"workload": str(model), "target": TARGET, "seed": 3, "agent": "egrl", **EVERY}
    return resolve({**OURS, **agent}, {**table, **(run or {})}, None, "test")
