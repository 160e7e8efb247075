"""Execute an artifact with onnxruntime, its weights memory-mapped."""

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.load import Artifact
from runtime.session import check_inputs, input_ports, make_session, run_session

Array = NDArray[np.generic]


def open_graph(
    artifact: Artifact, graph: str = "main", threads: int | None = None, prepack: bool = True
) -> ort.InferenceSession:
    """A session of one graph, for many runs.

    Args:
        artifact: as `verify_artifact` or `load_artifact` gave it.
        graph: which of the artifact's graphs.
        threads: of onnxruntime; None takes the manifest's number, 0 leaves it to onnxruntime.
        prepack: whether kernels may keep weights rearranged, in memory of their own.

    Raises:
        InputError: no such graph, or onnxruntime refuses it.
    """
    execution = artifact.manifest.execution
    session = make_session(artifact.model_path(graph), execution, threads, prepack)
    # The session has mapped its files: from here on they cannot change under it.
    artifact.check_unchanged()
    return session


def run_artifact(
    artifact: Artifact,
    inputs: Mapping[str, Array],
    graph: str = "main",
    threads: int | None = None,
) -> dict[str, Array]:
    """Run one inference.

    Args:
        artifact: as `verify_artifact` or `load_artifact` gave it.
        inputs: an array for every input of the graph.
        graph: which of the artifact's graphs.
        threads: as in `open_graph`.

    Returns:
        The outputs by name, in the order of the graph.

    Raises:
        InputError: no such graph; an input that is missing, unknown, or of another type or shape.
    """
    session = open_graph(artifact, graph, threads)
    return run_session(session, check_inputs(input_ports(session), inputs))
