"""What every benchmark is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from egrl.bench.agent.settings import AgentOptions


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Options of `egrl bench`.

    Attributes:
        out: document to write; measurements go beside it as `.json`, so that a run over some of
            the models keeps the rows of the others.
        folder: where `scripts/models` built the development set.
        models: names of it; all where empty.
        targets: names of accelerators; all that are shipped where empty.
        seconds: of `auto` and `exact`, for each model and target.
        long_seconds: of the search for a better solution where the gap is above 1 %.
        agent: of the suite `agent`.
    """

    out: Path
    folder: Path
    models: list[str]
    targets: list[str]
    seconds: float = 60.0
    long_seconds: float = 600.0
    agent: "AgentOptions | None" = None
