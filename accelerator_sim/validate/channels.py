"""Check of the order of the DMA channels: no copy waits so long that it misses its deadline."""

from collections.abc import Iterator

from accelerator_sim.plan import Plan
from accelerator_sim.validate.violation import Verdict, Violation, violation


def check_deadlines(plan: Plan) -> Iterator[Violation]:
    """A steady copy can begin before the op at which it must have ended.

    Copies of one channel run in the order in which they are listed, so that none begins before
    the latest `after_op` among those ahead of it.
    """
    latest: dict[int, tuple[int, str]] = {}
    for copy in plan.copies:
        if copy.phase != "steady":
            continue
        begin, ahead = latest.get(copy.channel, (copy.after_op, copy.tensor))
        if copy.after_op >= begin:
            latest[copy.channel] = (copy.after_op, copy.tensor)
        elif copy.before_op <= begin:
            text = (
                f"on channel {copy.channel} the copy for op {copy.before_op} is listed behind one "
                f"that begins with op {begin}"
            )
            yield violation(Verdict.COPY_LATE, copy.tensor, text, ahead)
