"""The DMA's descriptors for one op: what streams, cut up in the order in which it is used."""

from collections.abc import Sequence
from dataclasses import dataclass

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.detailed.flows import Flow, share_of_step
from accelerator_sim.detailed.parameters import DetailedParameters
from accelerator_sim.detailed.program import Hops, Request, Transfer
from accelerator_sim.detailed.sharing import Route
from accelerator_sim.detailed.tiling import Step


def transfers_of(
    flows: Sequence[Flow], steps: Sequence[Step],
    accelerator: Accelerator, parameters: DetailedParameters,
) -> list[Transfer]:  # fmt: skip
    """Descriptors in the order in which their bytes are used."""
    inner = len(accelerator.tiers) - 1
    ring_latency_s = accelerator.tiers[inner].latency_s.value
    streams = [flow for flow in flows if flow.fill is not None]
    # Bytes of each stream that no descriptor covers yet, and the step that needs the first one.
    waiting = [0.0] * len(streams)
    since = [0] * len(streams)
    cut = [0] * len(streams)
    sizes = [_transfer_sizes(flow, steps, accelerator, parameters) for flow in streams]
    found: list[Transfer] = []
    for index, step in enumerate(steps):
        for number, flow in enumerate(streams):
            needed = flow.ring_bytes * share_of_step(flow.role, step)
            if needed <= 0.0:
                continue
            if waiting[number] <= 0.0:
                since[number] = index
            waiting[number] += needed
            last = not any(share_of_step(flow.role, later) > 0.0 for later in steps[index + 1 :])
            while waiting[number] > 0.0:
                limit = sizes[number].at(cut[number])
                if waiting[number] < limit * 0.999 and not last:
                    break
                size = min(waiting[number], limit)
                cut[number] += 1
                latency_s = accelerator.tiers[flow.tier].latency_s.value
                found.append(
                    _transfer(flow, size, since[number], len(found), latency_s, ring_latency_s)
                )
                waiting[number] = max(0.0, waiting[number] - size)
                if waiting[number] < 1e-6:
                    waiting[number] = 0.0
                since[number] = index
    found.sort(key=lambda transfer: transfer.step)
    return found


@dataclass(frozen=True, slots=True)
class _TransferSizes:
    """Bytes of a stream's descriptors: what the ring can hold is cut finely, the rest coarsely."""

    first: float
    first_count: int
    later: float

    def at(self, number: int) -> float:
        """Of one descriptor."""
        return self.first if number < self.first_count else self.later


def _transfer_sizes(
    flow: Flow, steps: Sequence[Step], accelerator: Accelerator, parameters: DetailedParameters
) -> _TransferSizes:
    """A slice at most, less where a stream would be one or two of them.

    Beyond what the ring holds, chains of slices of very long streams are simulated as one.
    """
    streaming = accelerator.streaming
    size = flow.ring_bytes * sum(share_of_step(flow.role, step) for step in steps)
    fine = max(float(parameters.min_transfer_bytes), size / parameters.transfers)
    first = max(1.0, min(float(streaming.slice_bytes), fine))
    count = int(streaming.staging_bytes / first) + 1
    return _TransferSizes(first, count, max(first, size / parameters.max_transfers))


def _transfer(
    flow: Flow, size: float, step: int, number: int, latency_s: float, ring_latency_s: float
) -> Transfer:
    assert flow.fill is not None  # Only streams are cut into transfers.
    part = size / flow.ring_bytes
    return Transfer(
        Request(_scaled(flow.fill, part), latency_s, flow.position, number, False),
        Request(_scaled(flow.route, part), ring_latency_s, flow.position, number, False),
        size,
        step,
    )


def _scaled(route: Route, part: float) -> Hops:
    return tuple((server, seconds * part) for server, seconds in route.hops if seconds > 0.0)
