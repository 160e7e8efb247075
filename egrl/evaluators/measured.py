"""What a machine said of a compiled plan, as a value and as text."""

from dataclasses import dataclass

from accelerator_sim.units import plain, seconds_text


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies of a plan and of its reference on a machine.

    Attributes:
        command: how the machine was asked.
        latency_s: of the plan, measured once more after the search; None where that failed.
        reference: placer of the reference.
        reference_s: measured before the search.
        measurements: placements measured in all.
        failed: how many of them gave no latency.
        last_failure: why the last of those failed.
    """

    command: str
    latency_s: float | None
    reference: str
    reference_s: float
    measurements: int
    failed: int
    last_failure: str


def measured_text(measured: Measured) -> str:
    """A few lines for a person, without a newline at the end."""
    lines = [f"Measured by {plain(measured.command, 80)}"]
    if measured.latency_s is None:
        lines.append(f"  this plan     failed: {plain(measured.last_failure, 80)}")
    else:
        speedup = measured.reference_s / measured.latency_s
        lines.append(f"  this plan     {seconds_text(measured.latency_s)}")
        lines.append(f"                {speedup:.3g} times as fast as {measured.reference}")
    lines.append(f"  {measured.reference:<13} {seconds_text(measured.reference_s)}")
    counted = f"  {measured.measurements} placements measured"
    if measured.failed:
        counted += f", {measured.failed} failed; the last: {plain(measured.last_failure, 50)}"
    lines.append(counted)
    return "\n".join(lines)
