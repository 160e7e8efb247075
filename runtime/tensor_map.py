"""Where every tensor of a plan lies in the arena, op by op."""

from collections.abc import Mapping
from fractions import Fraction

from accelerator_sim.plan import Plan, PlanTensor, Residence
from graph_ir.datatypes import BITS
from graph_ir.text import quoted
from runtime.arena import PlanViolationError, Region, share_bytes
from runtime.host_types import HostType


def scale_of(plan: Plan, types: Mapping[str, HostType]) -> int:
    """Host bytes per planned byte: the least integer with which every tensor fits its place.

    Raises:
        PlanViolationError: a tensor with elements has no planned byte.
    """
    scale = 1
    for tensor in plan.tensors:
        if tensor.alias_of is not None or tensor.name not in types:
            continue
        host_bytes = types[tensor.name].size_bytes
        if host_bytes and tensor.size_bytes <= 0:
            raise PlanViolationError(
                f"tensor {quoted(tensor.name)}: has {host_bytes} bytes, but none in the plan"
            )
        if host_bytes:
            scale = max(scale, -(-host_bytes // tensor.size_bytes))
    return scale


class TensorMap:
    """Names and op indices to host regions."""

    def __init__(self, plan: Plan, types: Mapping[str, HostType], scale: int) -> None:
        self._tensors = {tensor.name: tensor for tensor in plan.tensors}
        self._types = types
        self._cores = {tier.name: tier.cores for tier in plan.tiers}
        self._op_count = len(plan.ops)
        self._scale = scale

    def owner(self, name: str) -> tuple[PlanTensor, int]:
        """The tensor that owns the memory of `name`, and the host byte at which `name` begins.

        Raises:
            PlanViolationError: unknown, or its aliases run in a circle.
        """
        begin = 0
        seen = [name]
        tensor = self._tensor(name)
        while tensor.alias_of is not None:
            parent = self._tensor(tensor.alias_of)
            if parent.name in seen:
                raise PlanViolationError(f"tensor {quoted(name)}: its aliases run in a circle")
            seen.append(parent.name)
            begin += self._host_offset(parent, tensor)
            tensor = parent
        return tensor, begin

    def region(self, name: str, op: int) -> Region:
        """Where `name` lies when op `op` runs.

        Raises:
            PlanViolationError: nowhere, or outside the memory that it shares.
        """
        owner, begin = self.owner(name)
        whole = self.memory(owner.name, op)
        size_bytes = self._types[name].size_bytes if name in self._types else whole.size_bytes
        if begin + size_bytes > self._scale * owner.size_bytes:
            raise PlanViolationError(
                f"tensor {quoted(name)}: ends {begin + size_bytes} host bytes into "
                f"{quoted(owner.name)}, which has {self._scale * owner.size_bytes}"
            )
        return Region(whole.tier, whole.mode, whole.offset, whole.share_bytes, begin, size_bytes)

    def memory(self, owner_name: str, op: int) -> Region:
        """The whole dilated memory of a tensor that owns it, when op `op` runs.

        Raises:
            PlanViolationError: nowhere.
        """
        owner = self._tensor(owner_name)
        residence = self.residence(owner, op)
        if residence is None:
            raise PlanViolationError(
                f"tensor {quoted(owner_name)}: has no place when op {op} needs it; "
                f"it lives in {_spans(owner)}"
            )
        return self.place(owner, residence)

    def residence(self, owner: PlanTensor, op: int) -> Residence | None:
        """The residence that covers an op; one may reach over from the inference before."""
        for residence in owner.residences:
            for moment in (op, op + self._op_count):
                if residence.start <= moment < residence.end:
                    return residence
        return None

    def place(self, owner: PlanTensor, residence: Residence) -> Region:
        """The whole dilated memory of a residence."""
        if residence.tier not in self._cores:
            raise PlanViolationError(
                f"tensor {quoted(owner.name)}: the plan has no tier {quoted(residence.tier)}"
            )
        share = share_bytes(owner.size_bytes, residence.mode, self._cores[residence.tier])
        return Region(
            residence.tier,
            residence.mode,
            self._scale * residence.offset,
            self._scale * share,
            0,
            self._scale * owner.size_bytes,
        )

    def _tensor(self, name: str) -> PlanTensor:
        if name not in self._tensors:
            raise PlanViolationError(f"tensor {quoted(name)}: the plan has no memory for it")
        return self._tensors[name]

    def _host_offset(self, parent: PlanTensor, child: PlanTensor) -> int:
        """The host byte in `parent` at which `child` begins.

        Inside a tensor bytes are packed by the tensor's own ratio of host to execution type,
        which may be below the arena's scale.
        """
        if not child.alias_offset:
            return 0
        ratio = Fraction(self._scale)
        if parent.name in self._types:
            host = self._types[parent.name]
            if parent.data_type in BITS:
                ratio = Fraction(host.element.bitwidth, BITS[parent.data_type])
            elif parent.size_bytes:
                ratio = Fraction(host.size_bytes, parent.size_bytes)
        offset = ratio * child.alias_offset
        if offset < 0 or offset.denominator != 1:
            raise PlanViolationError(
                f"tensor {quoted(child.name)}: begins {child.alias_offset} planned bytes into "
                f"{quoted(parent.name)}, which is {offset} bytes on the host"
            )
        return int(offset)


def _spans(owner: PlanTensor) -> str:
    spans = [f"[{residence.start}, {residence.end})" for residence in owner.residences]
    return ", ".join(spans) or "no residence"
