"""What `--compress auto` is to reach, and with how much effort."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from accelerator_sim.accelerator import Accelerator
from egrl.compression.joint.byte_forms import ByteForm, byte_forms
from egrl.compression.spec import Spec
from graph_ir.compression.activations import BEST, RangeOptions
from graph_ir.compression.grid import Grid
from graph_ir.errors import InputError


class Search(StrEnum):
    """Who proposes precisions.

    PROGRAM: the mixed-integer program's solution, then keys at random around it, however long the
    program takes. DRAWN: keys at random, after the program where it is small. AGENT: the precision
    head of the agent, its policy placing every choice.
    """

    PROGRAM = "program"
    DRAWN = "drawn"
    AGENT = "agent"


OF_PLACER = {"exact": Search.PROGRAM, "egrl": Search.AGENT}
"""Searches of placers; others have `DRAWN`."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a model is to run.

    Attributes:
        accelerator: the target.
        execution_type: of the lowering.
        pins: tensor name to home name.
        placer: that places what was chosen; it decides who proposes precisions, see `Search`.
    """

    accelerator: Accelerator
    execution_type: str
    pins: Mapping[str, str] = field(default_factory=dict)
    placer: str = "auto"


@dataclass(frozen=True, slots=True)
class Goal:
    """A target and the bounds to keep to there.

    Attributes:
        target: where it is to run.
        max_error: of the outputs, relative, measured; None where only bytes are bounded.
        max_bytes: of all weights as they are stored; None where only the error is bounded.
        seed: of the searches.
    """

    target: Target
    max_error: float | None
    max_bytes: int | None
    seed: int


@dataclass(frozen=True, slots=True)
class AutoOptions:
    """Options of `--compress auto` beside those of its method.

    Attributes:
        grids: precisions to choose from beside keeping a weight: bits, `x`, channels of a group,
            with `/` between them.
        activations: `float`, or `float/int8`: products may read bytes as well, those with weights
            of 8 bits (a scale per output channel) and with the grids of 4 bits.
        range: of bytes, `minmax`, `percentile`, `mse`, or `best`: whichever of them changes the
            outputs least.
        symmetric: no zero points.
        search: `program`, `drawn` or `agent`; `placer` takes that of the placer: `exact` the
            program, `egrl` the agent, others `drawn`.
        nodes: of the program's branch and bound; 0 leaves the program out.
        rounds: of the search on the engine.
        evaluations: of the placement of each choice.
        repairs: how often the choice is made anew after its error was measured.
    """

    grids: str = "8x32/8x128/4x32/4x128"
    activations: str = "float"
    range: str = BEST
    symmetric: bool = True
    search: str = "placer"
    nodes: int = 50
    rounds: int = 24
    evaluations: int = 2000
    repairs: int = 4

    def searched_by(self, placer: str) -> Search:
        """Who proposes precisions, beside a placer."""
        if self.search == "placer":
            return OF_PLACER.get(placer, Search.DRAWN)
        return Search(self.search)

    def candidates(self, spec: Spec) -> tuple[Grid, ...]:
        """The grids.

        Raises:
            InputError: not of that form, or one that no fused kernel takes.
        """
        grids = []
        for text in self.grids.split("/"):
            bits, x, group = text.partition("x")
            if not (x and bits.isdecimal() and group.isdecimal()):
                raise spec.fail(f"grids: expected BITSxGROUP with / between them, got {text!r}")
            grids.append(Grid(int(bits), int(group), self.symmetric))
        if len(set(grids)) < len(grids):
            raise spec.fail(f"grids: {self.grids} has one twice")
        return tuple(grids)

    def check_search(self, spec: Spec) -> None:
        """Refuses a search that there is not.

        Raises:
            InputError: naming those that there are.
        """
        known = ("placer", *Search)
        if self.search not in known:
            raise spec.fail(f"search: expected one of {', '.join(known)}, got {self.search!r}")

    def forms(self, spec: Spec) -> tuple[ByteForm, ...]:
        """The forms with activations of bytes.

        Raises:
            InputError: another word, a range that there is not, or no grid that has such a form.
        """
        try:
            RangeOptions(range=self.range)
        except InputError as error:
            raise spec.fail(str(error)) from error
        kinds = self.activations.split("/")
        if sorted(kinds) not in (["float"], ["float", "int8"]):
            raise spec.fail(f"activations: expected float or float/int8, got {self.activations!r}")
        if kinds == ["float"]:
            if self.range != BEST:
                raise spec.fail("range: expected activations=float/int8 with it")
            return ()
        forms = byte_forms(self.candidates(spec))
        if not forms:
            raise spec.fail(f"activations=int8: expected a grid of 4 or 8 bits, got {self.grids}")
        return forms
