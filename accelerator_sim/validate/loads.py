"""Checks of what is loaded before the first inference: whole, in place, from its own image."""

from collections.abc import Iterator, Sequence

from accelerator_sim.plan import IMAGE_TENSOR, PlanTensor, Residence
from accelerator_sim.validate.copies import CopyContext, LoadedPart
from accelerator_sim.validate.tensors import covers, period
from accelerator_sim.validate.violation import Verdict, Violation, violation

_Image = dict[tuple[str, str], int]


def check_loads(context: CopyContext, parts: Sequence[LoadedPart]) -> Iterator[Violation]:
    """All of it, for copies that are each right in itself."""
    bases: _Image = {}
    for part in parts:
        if part.from_image:
            key = (part.from_tier, part.tensor)
            bases[key] = min(bases.get(key, part.from_offset), part.from_offset)
    yield from _check_image(context, bases)
    yield from _check_places(context, parts, bases)
    yield from _check_whole(context, parts)


def _check_image(context: CopyContext, bases: _Image) -> Iterator[Violation]:
    """Each weight has bytes of its own in the image."""
    image = context.tensors[IMAGE_TENSOR] if bases else None
    images = (
        [(r.tier, r.offset, r.offset + image.size_bytes) for r in image.residences] if image else []
    )
    previous: tuple[str, int, str] | None = None
    for (tier, name), base in sorted(bases.items(), key=lambda item: (item[0][0], item[1])):
        end = base + context.tensors[name].size_bytes
        if not any(t == tier and low <= base and end <= high for t, low, high in images):
            text = f"bytes [{base}, {end}) of {tier} are not all in it"
            yield violation(Verdict.COPY_SOURCE, name, text, IMAGE_TENSOR)
        if previous is not None and previous[0] == tier and base < previous[1]:
            text = f"in {IMAGE_TENSOR}: bytes [{base}, {min(end, previous[1])}) of {tier} are both"
            yield violation(Verdict.OVERLAP, previous[2], text, name)
        if previous is None or previous[0] != tier or end > previous[1]:
            previous = (tier, end, name)


def _check_places(
    context: CopyContext, parts: Sequence[LoadedPart], bases: _Image
) -> Iterator[Violation]:
    """Every byte of a tensor goes to its own place."""
    for part in parts:
        size = context.tensors[part.tensor].size_bytes
        first = part.from_byte
        if part.from_image:
            first = part.from_offset - bases[part.from_tier, part.tensor]
        shares = part.to.mode == "partitioned" and context.tiers[part.to.tier].cores > 1
        if shares and part.size_bytes != size:
            text = f"{part.size_bytes} of {size} bytes are loaded in other shares than it is kept"
            yield violation(Verdict.COPY_TARGET, part.tensor, text)
        elif part.to_byte != first:
            text = f"its byte {first} is loaded to where byte {part.to_byte} belongs"
            yield violation(Verdict.COPY_TARGET, part.tensor, text)


def _check_whole(context: CopyContext, parts: Sequence[LoadedPart]) -> Iterator[Violation]:
    """Every weight that begins in an inner tier, or is loaded at all, is loaded whole."""
    outermost = context.plan.tiers[0].name if context.plan.tiers else ""
    loaded: dict[str, list[LoadedPart]] = {}
    for part in parts:
        loaded.setdefault(part.tensor, []).append(part)
    for tensor in context.plan.tensors:
        if tensor.kind != "weight" or tensor.alias_of is not None or tensor.name == IMAGE_TENSOR:
            continue
        here = loaded.get(tensor.name, [])
        first = _first_residence(context, tensor)
        if first is None or (first.tier == outermost and not any(p.from_image for p in here)):
            continue
        got = _joined_bytes([part for part in here if part.to == first])
        if got < tensor.size_bytes:
            text = f"{got} of {tensor.size_bytes} bytes are copied in before the first inference"
            yield violation(Verdict.NOT_LOADED, tensor.name, text, first.tier)


def _first_residence(context: CopyContext, tensor: PlanTensor) -> Residence | None:
    """Where a tensor is when an inference begins."""
    ops = period(context.plan)
    here = [residence for residence in tensor.residences if covers(residence, 0, ops)]
    return next(iter([*here, *tensor.residences]), None)


def _joined_bytes(parts: Sequence[LoadedPart]) -> int:
    """How many bytes are loaded, each counted once."""
    count = reached = 0
    for part in sorted(parts, key=lambda p: (p.to_byte, p.size_bytes)):
        end = part.to_byte + part.size_bytes
        count += max(0, end - max(reached, part.to_byte))
        reached = max(reached, end)
    return count
