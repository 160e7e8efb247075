"""The gate behind every compression: onnxruntime must execute what was emitted by fast kernels."""

import dataclasses
import tempfile
from pathlib import Path

import msgspec
import onnx_ir as ir

from egrl.compression.weights import WeightsRecord
from graph_ir.compression.forms import Forms, check_forms
from graph_ir.errors import InputError
from graph_ir.save import save_model
from runtime.manifest import Execution
from runtime.profile_graph import executed_graph


def check_executed(
    model: ir.Model, execution: Execution, earlier: frozenset[str], where: str
) -> Forms:
    """What executes the quantized nodes of a model.

    Args:
        model: compressed.
        execution: as its artifact will be executed.
        earlier: names of the constants that the source model had.
        where: names the model in an error.

    Raises:
        InputError: a weight would be widened on every call.
    """
    with tempfile.TemporaryDirectory() as scratch:
        save_model(model, Path(scratch), "model")
        executed = executed_graph(Path(scratch) / "model.onnx", execution)
    try:
        return check_forms(model.graph, executed, execution.accuracy_level, earlier)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def with_forms(detail: WeightsRecord, forms: Forms) -> WeightsRecord:
    """A record that says what executes the graph."""
    notes = [*detail.record.notes, *forms.notes]
    record = msgspec.structs.replace(detail.record, kernels=dict(forms.kernels), notes=notes)
    return dataclasses.replace(detail, record=record)
