"""The model's side of a sweep: its dimensions, and its workload for given extents."""

from dataclasses import dataclass
from pathlib import Path

from accelerator_sim.accelerator import Accelerator
from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.proto_file import read_model_proto
from graph_ir.text import quoted
from graph_ir.workload import Workload


@dataclass(frozen=True, slots=True)
class LowerTask:
    """Lower a model for some extents.

    Attributes:
        path: of the model.
        accelerator: the target.
        execution_type: of the lowering.
        dims: extents by name.
    """

    path: str
    accelerator: Accelerator
    execution_type: str
    dims: tuple[tuple[str, int], ...]


def lowered_workload(task: LowerTask) -> Workload:
    """Load, simplify, fuse and lower a model.

    Raises:
        InputError: the model or an extent is wrong.
    """
    model = load_model(task.path, dict(task.dims))
    run_lossless(model.graph_model)
    streamed = frozenset(task.accelerator.streamed_views)
    return lower(model, "main", task.execution_type, streamed).workload


def batch_dimension(path: Path) -> str:
    """The symbol that is the first axis of the model's inputs.

    Raises:
        InputError: there is none, or there are several.
    """
    graph = read_model_proto(path).graph
    constants = {tensor.name for tensor in graph.initializer}
    symbols: list[str] = []
    for graph_input in graph.input:
        axes = graph_input.type.tensor_type.shape.dim
        if graph_input.name not in constants and len(axes) > 0 and axes[0].dim_param:
            symbols.append(axes[0].dim_param)
    found = list(dict.fromkeys(symbols))
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"{path}: batch: expected a symbolic first axis of an input, got fixed ones; export "
            "the model with one"
        )
    names = ", ".join(quoted(name) for name in found)
    raise InputError(
        f"{path}: batch: expected one symbolic first axis, got {names}; vary one with dim:NAME"
    )
