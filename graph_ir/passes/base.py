"""What every pass is: one method that changes a model in place and says what it changed."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class PassResult:
    """What one application of a pass did.

    Attributes:
        changes: how many rewrites; 0 where the model is as it was.
        details: what changed, for a log line; empty where nothing did.
    """

    changes: int
    details: str = ""

    @property
    def modified(self) -> bool:
        """Whether the model is another one now."""
        return self.changes > 0


class Pass(ABC):
    """A rewrite of a whole model.

    A pass keeps graph inputs and outputs: their number, names, types and shapes. Every value keeps
    a static shape and a type. Options are constructor arguments.

    Attributes:
        name: as in `graph_ir.passes.PASSES` and on the command line.
    """

    name: ClassVar[str]

    @abstractmethod
    def apply(self, model: ir.Model) -> PassResult:
        """Changes the model in place.

        Args:
            model: static shapes, in topological order, no control flow.
        """
