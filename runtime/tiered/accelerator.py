"""The accelerator file of the tiered machine: this computer with slow memories around it."""

from dataclasses import dataclass

import msgspec

from accelerator_sim.accelerator import Accelerator, Streaming, Tier
from accelerator_sim.quantity import Quantity


@dataclass(frozen=True, slots=True)
class TierChoice:
    """A memory of the machine: what it holds and how fast it is made.

    Attributes:
        name: of the tier; `memories.FILE_TIER` is kept in a file.
        capacity_bytes: what a plan may use.
        bytes_per_s: of reads and of writes.
        latency_s: until the copy thread has taken over, as measured.
    """

    name: str
    capacity_bytes: int
    bytes_per_s: float
    latency_s: float


def tiered_accelerator(
    host: Accelerator, outer: tuple[TierChoice, ...], fast_bytes: int, streaming: Streaming
) -> Accelerator:
    """This computer, with memories outside its own.

    Args:
        host: this computer as `egrl calibrate` describes it; its last tier becomes the innermost.
        outer: from outermost.
        fast_bytes: what a plan may use of the innermost.
        streaming: how weights of outer tiers arrive.
    """
    inner = host.tiers[-1]
    unlimited = Quantity(
        1e15, assumed=True, reason="what an op reads there is part of onnxruntime's time"
    )
    tiers = [_tier(choice) for choice in outer]
    tiers.append(
        msgspec.structs.replace(
            inner,
            name="FAST",
            capacity_bytes=_chosen(fast_bytes),
            read_bytes_per_s=unlimited,
            write_bytes_per_s=unlimited,
            latency_s=_chosen(0.0),
        )
    )
    return msgspec.structs.replace(
        host,
        name="tiered",
        description=f"{host.description}, behind memories of chosen rates",
        tiers=tiers,
        streaming=streaming,
    )


def _tier(choice: TierChoice) -> Tier:
    rate = _chosen(choice.bytes_per_s)
    return Tier(
        name=choice.name,
        scope="shared",
        capacity_bytes=_chosen(choice.capacity_bytes),
        read_bytes_per_s=rate,
        write_bytes_per_s=rate,
        latency_s=Quantity(choice.latency_s, source="measured: handing a copy to its thread"),
        energy_j_per_byte=_chosen(0.0),
    )


def _chosen(value: float) -> Quantity:
    return Quantity(value, source="chosen: a rate limiter, or a share of memory, of the machine")
