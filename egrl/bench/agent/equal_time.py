"""Experiment 2: what every method holds after 10 ms, 100 ms, 1 s and 10 s."""

from collections.abc import Iterator

from egrl.bench.agent.cases import TIME_CASES, Case, chosen
from egrl.bench.agent.clock import ClockedTask
from egrl.bench.agent.methods import Part, is_seedless, of_part
from egrl.bench.agent.settings import Settings

PART: Part = "time"
TIMES_S = (0.01, 0.1, 1.0, 10.0)


def cases(settings: Settings) -> list[Case]:
    """The chosen problems."""
    return chosen(TIME_CASES, settings)


def tasks(settings: Settings) -> Iterator[ClockedTask]:
    """All runs, one seed of everything after another."""
    for seed in settings.seeds(PART):
        for case in cases(settings):
            for method in of_part(PART, list(settings.agent.methods)):
                if seed == 0 or not is_seedless(method, PART):
                    yield ClockedTask(
                        PART, case, method, seed, TIMES_S, settings.common.folder,
                        settings.agent.jobs,
                    )  # fmt: skip
