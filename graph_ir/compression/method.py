"""What a compression is made of: one base method, preparations before it, corrections after it.

Each is a frozen dataclass whose fields are its options on the command line. None of them imports
an inference engine: a `Runner` is given to them.

Axes: K inner (input channels), N columns (output channels), R rows of the left factor.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.grid import F32, Grid, QuantizedWeight
from graph_ir.compression.sites import Site
from graph_ir.passes.base import PassResult

Array = NDArray[np.generic]
Feeds = dict[str, Array]
Execute = Callable[[Feeds], dict[str, Array]]


class Runner(ABC):
    """Executes models: what the layers below have no engine for."""

    @abstractmethod
    def open(self, model: ir.Model, outputs: Sequence[str]) -> Execute:
        """A function from inputs to values.

        It computes what the graph says, in the types that it says. The model may be changed
        afterwards; the function goes on computing the model as it was.

        Args:
            model: left as it is.
            outputs: names of any values of the graph, outputs or not.

        Raises:
            InputError: the engine refuses the model; the function raises it for inputs that it
                refuses.
        """

    def run(
        self, model: ir.Model, samples: Sequence[Feeds], outputs: Sequence[str]
    ) -> list[dict[str, Array]]:
        """The values of every sample, in order; see `open`."""
        execute = self.open(model, outputs)
        return [execute(sample) for sample in samples]


@dataclass(frozen=True, slots=True)
class Data:
    """What a method may look at.

    Attributes:
        samples: feeds of one inference each; drawn or generated where none were given.
        runner: executes a model.
        seed: of everything random.
        given: whether the samples are the user's. Where they are not, a method must not rely on
            them being like real ones.
        grid: that the weights will have, unless a site has its own.
    """

    samples: tuple[Feeds, ...]
    runner: Runner
    seed: int
    given: bool
    grid: Grid = field(default_factory=Grid)


@dataclass(frozen=True, slots=True)
class InputStatistics:
    """What a product's left factor was over the inputs.

    Attributes:
        square_K: float64, mean over rows of x^2.
        rows: how many rows were seen.
    """

    square_K: NDArray[np.float64]
    rows: int


@dataclass(frozen=True, slots=True)
class GramStatistics(InputStatistics):
    """The same with what channels have to do with each other.

    Attributes:
        gram_KK: float64, mean over rows of x x^T, x being what the already quantized layers before
            give.
    """

    gram_KK: NDArray[np.float64]


class WeightMethod(ABC):
    """Chooses integers, scales and zero points of one weight at a time.

    Attributes:
        name: on the command line.
        needs_inputs: whether `quantize` wants `GramStatistics` of the layer's inputs.
        needs_squares: whether it is content with the mean square of each channel, for which
            inputs need not be like real ones.
    """

    name: ClassVar[str]
    needs_inputs: ClassVar[bool] = False
    needs_squares: ClassVar[bool] = False

    @abstractmethod
    def quantize(
        self, weight_KN: F32, grid: Grid, inputs: InputStatistics | None
    ) -> QuantizedWeight:
        """Quantize one weight.

        Args:
            weight_KN: finite.
            grid: wanted.
            inputs: of the layer; None where the method does not need them.
        """

    def for_tables(self) -> "WeightMethod":
        """The method for a weight whose rows are looked up too, which have no exact entries."""
        return self


class ModelMethod(ABC):
    """Chooses integers, scales and zero points of all weights of a model together.

    Attributes:
        name: on the command line.
        needs_inputs: whether it looks at what the model computes on inputs.
    """

    name: ClassVar[str]
    needs_inputs: ClassVar[bool] = True

    @abstractmethod
    def quantize(
        self, model: ir.Model, sites: Sequence[Site], grids: Mapping[str, Grid], data: Data
    ) -> dict[str, QuantizedWeight]:
        """Quantize all weights.

        Args:
            model: its other constants (norms, biases) may be changed in place; its weights are
                put in their places by the caller.
            sites: of the model, in topological order.
            grids: by name of the site.
            data: to learn from.

        Returns:
            The quantized weight of every site, by its name.
        """


class Preparation(ABC):
    """Rewrites a model, before it is quantized, so that quantization costs less.

    Attributes:
        name: on the command line.
        needs_inputs: whether it looks at what the model computes on inputs.
    """

    name: ClassVar[str]
    needs_inputs: ClassVar[bool] = False

    @abstractmethod
    def prepare(self, model: ir.Model, data: Data) -> PassResult:
        """Change the model in place; what it computes stays the same.

        Args:
            model: not quantized yet.
            data: to learn from.
        """


class Correction(ABC):
    """Changes a model after its weights were quantized, so that it is closer to its source.

    Attributes:
        name: on the command line.
        needs_inputs: whether it looks at what the model computes on inputs.
    """

    name: ClassVar[str]
    needs_inputs: ClassVar[bool] = True

    @abstractmethod
    def correct(
        self,
        model: ir.Model,
        source: ir.Model,
        quantized: Mapping[str, tuple[F32, QuantizedWeight]],
        data: Data,
    ) -> PassResult:
        """Change the model in place.

        Args:
            model: with quantized weights.
            source: the same model, prepared but not quantized; left as it is.
            quantized: by name of the site, its weight `[K, N]` before and after.
            data: to learn from.
        """


Method = WeightMethod | ModelMethod
AddOn = Preparation | Correction
