"""What the experiments are told."""

from dataclasses import dataclass
from pathlib import Path

from egrl.bench.options import BenchOptions

PARTS = ("protocol", "schedules", "time", "unknown", "real", "open")

SEEDS: dict[str, int] = {
    "protocol": 5,
    "schedules": 3,
    "time": 10,
    "unknown": 3,
    "real": 3,
    "open": 3,
}
"""Of the document."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """Options of `egrl bench agent` beside those of every benchmark.

    Attributes:
        parts: experiments to measure; all where empty.
        methods: names; all where empty.
        precisions: execution types; all where empty.
        seeds: of every method; those of `SEEDS` where None.
        evaluations: that a run is given; 4,000 where None.
        jobs: processes that measure at the same time.
        again: measure what there is already.
        merge: files of rows to take over first.
        rewrite: measure nothing, write the document.
    """

    parts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    seeds: int | None = None
    evaluations: int | None = None
    jobs: int = 1
    again: bool = False
    merge: tuple[Path, ...] = ()
    rewrite: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Both kinds of options."""

    common: BenchOptions
    agent: AgentOptions

    def seeds(self, part: str) -> range:
        """Seeds of a part."""
        count = self.agent.seeds
        return range(SEEDS[part] if count is None else count)
