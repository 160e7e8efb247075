"""The tools that the simulator is compared with: name to comparison, in document order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from egrl.validation import nnp_i, nvdla, onnxim, scalesim, vela, zigzag
from egrl.validation.result import ToolResult


@dataclass(frozen=True, slots=True)
class Tool:
    """One comparison.

    Attributes:
        validate: compares with the rows of a folder.
        files: names of the files that it needs there.
        models: of the development set, which it needs in the cache folder of `scripts/models`.
    """

    validate: Callable[[Path], ToolResult]
    files: tuple[str, ...]
    models: tuple[str, ...] = ()


TOOLS: dict[str, Tool] = {
    "scalesim": Tool(scalesim.validate, scalesim.FILES),
    "onnxim": Tool(onnxim.validate, onnxim.FILES),
    "zigzag": Tool(zigzag.validate, zigzag.FILES),
    "nvdla": Tool(nvdla.validate, nvdla.FILES),
    "vela": Tool(vela.validate, vela.FILES),
    "nnp_i": Tool(nnp_i.validate, nnp_i.FILES, (nnp_i.MODEL,)),
}
