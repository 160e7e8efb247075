"""Their plan: a tier, and if they like an address, for every tensor."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from egrl.audit.cost import CostTable
from egrl.audit.json_input import decode_json, read_text
from egrl.audit.problem import ByteCount, Name
from graph_ir.errors import InputError

THEIR_PLAN_SCHEMA = 1


class Home(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a tensor lives.

    Attributes:
        tier: name.
        offset: first byte in that tier, or null where addresses are not known.
    """

    tier: Name
    offset: ByteCount | None = None


class TheirPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of a plan.

    Attributes:
        schema: `THEIR_PLAN_SCHEMA`.
        homes: by tensor name the name of a tier, or tier and offset. Tensors that only one tier
            may hold can be left out.
        name: of the compiler or the run, shown in reports.
    """

    schema: int
    homes: dict[Name, Name | Home]
    name: Annotated[str, msgspec.Meta(max_length=4096)] = ""


@dataclass(frozen=True, slots=True)
class IndexedPlan:
    """A plan over the indices of a `CostTable`.

    Attributes:
        homes: tier of every tensor.
        offsets: first byte of every tensor, None where not given.
    """

    homes: tuple[int, ...]
    offsets: tuple[int | None, ...]


def read_plan(path: Path) -> TheirPlan:
    """Reads a plan file.

    Raises:
        InputError: the file cannot be read or is not JSON of this form.
    """
    return parse_plan(read_text(path), str(path))


def parse_plan(text: str, where: str) -> TheirPlan:
    """Decodes the text of a plan file.

    Raises:
        InputError: it is not JSON of this form.
    """
    return decode_json(text, TheirPlan, where, THEIR_PLAN_SCHEMA)


def index_plan(table: CostTable, plan: TheirPlan, where: str) -> IndexedPlan:
    """Resolves the names of a plan.

    Args:
        table: the problem.
        plan: as read.
        where: what to call it in errors.

    Raises:
        InputError: a name that the problem does not have, or a tensor without a home.
    """
    tensors = {name: index for index, name in enumerate(table.tensor_names_T)}
    tiers = {name: index for index, name in enumerate(table.tier_names_M)}
    given: dict[int, tuple[int, int | None]] = {}
    for name, value in plan.homes.items():
        home = value if isinstance(value, Home) else Home(value)
        at = f"{where}: $.homes[{name!r}]"
        if name not in tensors:
            raise InputError(f"{at}: expected the name of a tensor of the problem, got {name!r}")
        if home.tier not in tiers:
            raise InputError(f"{at}: expected one of the tiers {list(tiers)}, got {home.tier!r}")
        given[tensors[name]] = (tiers[home.tier], home.offset)
    homes: list[int] = []
    offsets: list[int | None] = []
    for tensor, allowed in enumerate(table.allowed_T):
        if tensor not in given and len(allowed) > 1:
            missing = sum(1 for t, a in enumerate(table.allowed_T) if t not in given and len(a) > 1)
            raise InputError(
                f"{where}: $.homes: expected a tier for every tensor, got none for "
                f"{table.tensor_names_T[tensor]!r} ({missing} missing in all)"
            )
        home_index, offset = given.get(tensor, (allowed[0], None))
        homes.append(home_index)
        offsets.append(offset)
    return IndexedPlan(tuple(homes), tuple(offsets))
