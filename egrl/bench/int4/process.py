"""A process whose time and memory are measured from outside."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from graph_ir.errors import InputError

WATCH = Path(__file__).with_name("watch.py")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a process took.

    Attributes:
        seconds: from its start to its end.
        peak_bytes: of memory.
        cpu_seconds: of all its threads and processes.
    """

    seconds: float
    peak_bytes: int
    cpu_seconds: float


class ProcessFailedError(InputError):
    """A measured process ended with an error; the message is the last line that it printed."""


def run_measured(command: Sequence[str], env: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end.

    Args:
        command: with its arguments.
        env: variables beside those of this process.

    Raises:
        ProcessFailedError: it fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        watched = [sys.executable, "-S", str(WATCH), str(result), *command]
        merged = {**os.environ, **(env or {})}
        done = subprocess.run(watched, capture_output=True, text=True, check=False, env=merged)
        if done.returncode != 0:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            reason = lines[-1] if lines else f"exit code {done.returncode}"
            raise ProcessFailedError(f"{Path(command[0]).name}: {reason}"[:300])
        found = json.loads(result.read_text("utf-8"))
        return Measured(
            float(found["seconds"]), int(found["peak_bytes"]), float(found["cpu_seconds"])
        )
