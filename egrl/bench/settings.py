"""What the parts of a benchmark are told."""

import os
from dataclasses import dataclass
from pathlib import Path

from egrl.bench.machine import machine_line


@dataclass(frozen=True, slots=True)
class Settings:
    """Options.

    Attributes:
        folder: of the built models.
        models: names of subjects, or what else a part counts by; all where empty.
        methods: names; all where empty.
        again: measure what there is already.
    """

    folder: Path
    models: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    again: bool = False

    def wants_model(self, name: str) -> bool:
        """Whether a subject is measured."""
        return not self.models or name in self.models

    def wants_method(self, name: str, on_request: bool = False) -> bool:
        """Whether a method is measured; one that is `on_request` has to be named."""
        return name in self.methods or not (self.methods or on_request)


def processor() -> str:
    """The machine, as rows name it."""
    return f"{machine_line().partition(',')[0]}, {os.cpu_count()} cores"
