"""Text in which everything is said twice, so that heads that look things up have something to find.

What a window costs a head that copies from far back shows only where there is something to copy. A
text that says little twice hides it, and random tokens hide all else that heads do. So a text is
followed by its own pieces in another order: what continues a piece stands once, at another distance
each time.
"""

import numpy as np

from egrl.kv.walk import Ids

PIECE = 48
"""Tokens of a piece: most of them continue something that was said, few begin one."""


def said_twice(ids_R: Ids, length: int, seed: int = 0) -> Ids:
    """The beginning of a text, then its pieces in another order.

    Args:
        ids_R: the text.
        length: tokens of the result at most; it has twice those of the text where that is less.
        seed: of the order.
    """
    first = ids_R[: length // 2]
    pieces = [first[at : at + PIECE] for at in range(0, len(first), PIECE)]
    order = np.random.default_rng(seed).permutation(len(pieces))
    return np.concatenate([first, *(pieces[at] for at in order)])
