"""When each steady copy of a plan is made, and which op uses what it brings to the ring."""

from collections.abc import Mapping
from dataclasses import dataclass

from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR, Copy, Plan, PlanTensor
from graph_ir.text import quoted
from runtime.arena import PlanViolationError, Region, share_bytes
from runtime.tensor_map import TensorMap


@dataclass(frozen=True, slots=True)
class SteadyCopy:
    """A copy of the steady phase.

    Attributes:
        copy: as the plan lists it.
        moment: index of the op with which it is made: the first at which it may begin.
        consumer: index of the op that takes it from the staging ring; at or above the number of
            ops it is one of the next inference. None for a move to the tensor's own memory.
        first_byte: host byte of the tensor at which the slice begins.
    """

    copy: Copy
    moment: int
    consumer: int | None
    first_byte: int


class CopySchedule:
    """The steady copies in the order in which they are made.

    Attributes:
        steady: in that order.
        image_base: where in `@image` the tensors that are copied out of it begin, by tier and
            tensor.
        doubtful: tensor and op where a slice may be the op's own or its predecessor's.
    """

    def __init__(self, plan: Plan, tensors: TensorMap, scale: int) -> None:
        self._plan = plan
        self._map = tensors
        self._scale = scale
        self._tensors: Mapping[str, PlanTensor] = {t.name: t for t in plan.tensors}
        self._cores = {tier.name: tier.cores for tier in plan.tiers}
        self._readers = _readers(plan, tensors)
        self.image_base = self._image_bases()
        self.doubtful: set[tuple[str, int]] = set()
        self.steady = self._schedule()

    def memory(self, name: str, tier: str, offset: int) -> Region | None:
        """The memory of `name` in `tier` that holds planned byte `offset`."""
        tensor = self._tensors.get(name)
        if tensor is None:
            return None
        for residence in tensor.residences:
            if residence.tier == tier:
                share = share_bytes(tensor.size_bytes, residence.mode, self._cores[tier])
                if residence.offset <= offset < residence.offset + share:
                    return self._map.place(tensor, residence)
        return None

    def _image_bases(self) -> dict[tuple[str, str], int]:
        bases: dict[tuple[str, str], int] = {}
        for copy in self._plan.copies:
            if copy.tensor not in self._tensors:
                raise PlanViolationError(f"copy of {quoted(copy.tensor)}: no such tensor")
            if self.memory(IMAGE_TENSOR, copy.from_tier, copy.from_offset) is not None:
                key = (copy.from_tier, copy.tensor)
                bases[key] = min(bases.get(key, copy.from_offset), copy.from_offset)
        return bases

    def _schedule(self) -> list[SteadyCopy]:
        channel_moment: dict[int, int] = {}
        schedule: list[SteadyCopy] = []
        for copy in self._plan.copies:
            if copy.phase != "steady":
                continue
            moment = max(copy.after_op, channel_moment.get(copy.channel, copy.after_op))
            channel_moment[copy.channel] = moment
            schedule.append(self._steady_copy(copy, moment))
        # Stable: copies of one moment keep the order in which they are listed.
        return sorted(schedule, key=lambda steady: steady.moment)

    def _steady_copy(self, copy: Copy, moment: int) -> SteadyCopy:
        if self.memory(STAGING_TENSOR, copy.to_tier, copy.to_offset) is None:
            if self.memory(copy.tensor, copy.to_tier, copy.to_offset) is None:
                raise PlanViolationError(
                    f"copy of {quoted(copy.tensor)}: byte {copy.to_offset} of {copy.to_tier} is "
                    "neither in the staging ring nor in the tensor's own memory"
                )
            return SteadyCopy(copy, moment, None, 0)
        consumer = self._consumer(copy)
        if moment > consumer:
            raise PlanViolationError(
                f"copy of {quoted(copy.tensor)}: is for op {consumer}, but cannot begin before "
                f"op {moment}"
            )
        return SteadyCopy(copy, moment, consumer, self._first_byte(copy))

    def _consumer(self, copy: Copy) -> int:
        """The op that uses a slice: the one that it must be there for, or the running one.

        A late slice is used by the op during which it comes, so it must be there only when the
        next op begins.
        """
        count = len(self._plan.ops)
        readers = self._readers.get(copy.tensor, ())
        late = copy.before_op == copy.after_op + 1 and copy.after_op in readers
        if late and copy.before_op in readers:
            self.doubtful.add((copy.tensor, copy.before_op))
        for op in (copy.after_op, copy.before_op) if late else (copy.before_op, copy.after_op):
            if op in readers or (op >= count and op - count in readers):
                return op
        raise PlanViolationError(
            f"copy of {quoted(copy.tensor)}: neither op {copy.before_op} nor op {copy.after_op} "
            "reads it"
        )

    def _first_byte(self, copy: Copy) -> int:
        place = self.memory(copy.tensor, copy.from_tier, copy.from_offset)
        if place is not None and place.mode != "partitioned":
            return self._scale * copy.from_offset - place.offset
        key = (copy.from_tier, copy.tensor)
        if place is None and key in self.image_base:
            return self._scale * (copy.from_offset - self.image_base[key])
        raise PlanViolationError(
            f"copy of {quoted(copy.tensor)}: byte {copy.from_offset} of {copy.from_tier} is not "
            "in that tensor's memory, or its memory is split over the cores"
        )


def _readers(plan: Plan, tensors: TensorMap) -> dict[str, frozenset[int]]:
    """Ops that read each memory, aliases counted for the tensor that owns it."""
    readers: dict[str, set[int]] = {}
    for index, op in enumerate(plan.ops):
        for name in op.reads:
            readers.setdefault(tensors.owner(name)[0].name, set()).add(index)
    return {name: frozenset(ops) for name, ops in readers.items()}
