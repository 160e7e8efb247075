"""How far a compressed model's outputs are from its source's, on the same inputs."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from egrl.compression.inputs import Array, Feeds
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.compression.sites import QUANTIZED
from graph_ir.onnx_values import element_count, op_key, value_name
from graph_ir.save import save_model
from runtime.manifest import Execution
from runtime.session import make_session, run_session

Outputs = dict[str, Array]

LOSSLESS_EXECUTION = Execution()

# Outputs of the source that are kept from one measurement to the next, and during one.
_KEPT_BYTES = 128 << 20
_HELD_BYTES = 384 << 20
# Elements that are widened at a time.
_CHUNK = 1 << 18
_ALL_CORES = 0
_INTEGERS = QUANTIZED | {"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"}


class Reference:
    """The source of a compression, which its results are measured against.

    Both run on a few samples at a time, and nothing but sums is kept of what they compute, unless
    it is small: a language model's outputs are larger than its weights.
    """

    def __init__(self, model: ir.Model, samples: Sequence[Feeds]) -> None:
        """Remembers a model.

        Args:
            model: as it is now; it may be changed afterwards, its tensors are shared.
            samples: inputs to measure on.
        """
        self._model = model.clone()
        self._names = [value_name(value) for value in model.graph.outputs]
        self._sample_bytes = sum(
            int(element_count(value) * (value.dtype or ir.DataType.FLOAT).itemsize)
            for value in model.graph.outputs
        )
        # Kernels that take integers have options of their own, see `runtime.session`.
        self._quantized = any(op_key(node) in _INTEGERS for node in model.graph)
        self._samples = tuple(samples)
        self._kept: tuple[Outputs, ...] | None = None

    def error(self, model: ir.Model, execution: Execution) -> float:
        """Relative error of a model's outputs, executed as its artifact will be."""
        with saved(model) as path:
            return self.error_of_file(path, execution)

    def error_of_file(self, path: Path, execution: Execution) -> float:
        """Likewise, of a model that was saved."""
        sums = _Sums()
        at_once = max(1, _HELD_BYTES // max(self._sample_bytes, 1))
        for start in range(0, len(self._samples), at_once):
            # One after the other, so that the weights of only one of them are in memory.
            expected = self._outputs(start, start + at_once)
            session = make_session(path, execution, threads=_ALL_CORES, arena=False)
            for reference, sample in zip(
                expected, self._samples[start : start + at_once], strict=True
            ):
                sums.add(reference, run_session(session, sample))
            del session, expected
        return sums.relative()

    def _outputs(self, start: int, stop: int) -> Sequence[Outputs]:
        if self._kept is not None:
            return self._kept[start:stop]
        if len(self._samples) * self._sample_bytes <= _KEPT_BYTES or self._quantized:
            self._kept = run_samples(self._model, self._samples, LOSSLESS_EXECUTION)
            return self._kept[start:stop]
        # Like a session of the saved model, without a copy of its weights.
        runner = OnnxRuntimeRunner(_ALL_CORES, LOSSLESS_EXECUTION.optimization_level)
        execute = runner.open(self._model, self._names)
        return [execute(sample) for sample in self._samples[start:stop]]


@dataclass(slots=True)
class _Sums:
    """Sums of squares over the samples so far."""

    difference: float = 0.0
    scale: float = 0.0

    def add(self, reference: Outputs, outputs: Outputs) -> None:
        """Count a sample."""
        for name, array in reference.items():
            flat, other = array.reshape(-1), outputs[name].reshape(-1)
            for start in range(0, len(flat), _CHUNK):
                a = flat[start : start + _CHUNK].astype(np.float64)
                b = other[start : start + _CHUNK].astype(np.float64)
                self.scale += float(np.vdot(a, a))
                b -= a
                self.difference += float(np.vdot(b, b))

    def relative(self) -> float:
        """See `relative_error`."""
        share = self.difference / self.scale if self.scale > 0 else self.difference
        return float(np.sqrt(share))


@contextmanager
def saved(model: ir.Model) -> Iterator[Path]:
    """A file of the model, its weights beside it, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as scratch:
        save_model(model, Path(scratch), "model")
        yield Path(scratch) / "model.onnx"


def run_samples(
    model: ir.Model, samples: Sequence[Feeds], execution: Execution
) -> tuple[Outputs, ...]:
    """The outputs of a model, executed as its artifact will be."""
    with saved(model) as path:
        session = make_session(path, execution)
        return tuple(run_session(session, sample) for sample in samples)


def relative_error(expected: Iterable[Outputs], got: Iterable[Outputs]) -> float:
    """Root mean square of the difference over that of the expected outputs, all of them together.

    Integer outputs count by the share of elements that changed, as an output of their own.
    """
    sums = _Sums()
    for reference, outputs in zip(expected, got, strict=True):
        sums.add(reference, outputs)
    return sums.relative()
