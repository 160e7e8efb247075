"""From a placement that fits by live bytes to one that has addresses as well.

Lifetimes that interlock can need more room than what is live at once. Where the allocator finds no
offsets, the tiers concerned are treated as smaller by what was missing, and the placement is
rectified into them; a few such steps nearly always end in a placement that has addresses.
"""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.addresses import allocate_tiers
from accelerator_sim.rectify import Rectifier
from egrl.placers.base import Search

MAX_STEPS = 8


def offer_addressable(
    search: Search, rectifier: Rectifier, homes_T: NDArray[np.int8], latency_s: float
) -> bool:
    """Offer a placement that fits by live bytes, or the nearest one that has addresses.

    Args:
        search: whose incumbent is to improve.
        rectifier: of its problem.
        homes_T: int8.
        latency_s: of `homes_T`; infinity is a placement that does not fit, and is rectified while
            there is no incumbent.

    Returns:
        Whether the incumbent improved.
    """
    if search.best_homes_T is not None and not latency_s < search.best_s:
        return False
    if search.offer(homes_T, latency_s):
        return True
    capacity_L = rectifier.tables.capacity_bytes_L.copy()
    for _ in range(MAX_STEPS):
        for k, found in enumerate(allocate_tiers(search.problem, homes_T.tolist())):
            if not found.allocation.feasible:
                missing = found.allocation.height_bytes - rectifier.tables.capacity_bytes_L[k]
                capacity_L[k] -= max(1, int(missing))
        batch = rectifier.batch(homes_T[np.newaxis, :], capacity_L)
        if not batch.fits_P[0]:
            return False
        homes_T = batch.homes_PT[0]
        latency_s = float(search.measure(homes_T[np.newaxis, :])[0])
        if not latency_s < search.best_s:
            return False
        if search.offer(homes_T, latency_s):
            return True
    return False
