"""The Python API: the verbs of the command line as functions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.report_case import Advice, ReportCase
from egrl.compilation import CompileOutcome, compile_model
from egrl.decoding import compile_decoder
from egrl.simulation import simulate_sources
from runtime.execute import run_artifact
from runtime.generation.generator import open_generator
from runtime.load import load_artifact, verify_artifact

compile = compile_model
simulate = simulate_sources

__all__ = [
    "Advice",
    "CompileOutcome",
    "ReportCase",
    "compile",
    "compile_decoder",
    "load_artifact",
    "open_generator",
    "run",
    "simulate",
    "verify",
]


def run(
    artifact: str | Path, inputs: Mapping[str, NDArray[np.generic]], graph: str = "main"
) -> dict[str, NDArray[np.generic]]:
    """Execute an artifact with onnxruntime.

    Args:
        artifact: folder.
        inputs: by name of the graph's inputs.
        graph: which graph of it.

    Raises:
        InputError: the artifact or an input is wrong.
    """
    return run_artifact(load_artifact(Path(artifact)), inputs, graph)


def verify(artifact: str | Path) -> None:
    """Check digests, schema and plan of an artifact.

    Raises:
        InputError: the first thing that is wrong.
    """
    verify_artifact(Path(artifact))
