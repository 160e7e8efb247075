"""Text that a decoder makes up itself, for measurements without data.

Token by token would take one run a token. Instead all positions are sampled at once from what the
model predicts for the text so far, again and again with the same random numbers, as in
`egrl.compression.generate`.
"""

import numpy as np

from egrl.kv.walk import Ids
from graph_ir.compression.method import Feeds, Runner
from graph_ir.decoder.decoder import LOGITS, POSITIONS, TOKENS, Decoder

ROUNDS = 8
LENGTH = 1024
TEMPERATURE = 0.6
_TINY = np.float32(1e-30)


def made_up_text(decoder: Decoder, runner: Runner, seed: int = 0, length: int = LENGTH) -> Ids:
    """Tokens that the decoder makes up.

    Args:
        decoder: it is not changed.
        runner: executes it.
        seed: of what it starts from and of the sampling.
        length: tokens; fewer where the decoder has fewer positions.

    Raises:
        InputError: the runner refuses the decoder.
    """
    if decoder.most_positions:
        length = min(length, decoder.most_positions)
    rng = np.random.default_rng(seed)
    ids_R = rng.integers(0, decoder.vocabulary, length)
    execute = runner.open(decoder.model, [LOGITS])
    for _ in range(ROUNDS):
        feeds: Feeds = {TOKENS: ids_R[None], POSITIONS: np.arange(length)}
        logits_RV = execute(feeds)[LOGITS][0].astype(np.float32)
        # The winner of a race of exponential clocks is a sample; the clocks are the same in
        # every round.
        clocks = np.random.default_rng([seed, 1])
        following_R = ids_R.copy()
        for row in range(length - 1):
            clock_V = clocks.standard_exponential(decoder.vocabulary, dtype=np.float32)
            raced_V = logits_RV[row] / TEMPERATURE - np.log(clock_V + _TINY)
            following_R[row + 1] = int(raced_V.argmax())
        ids_R = following_R
    return ids_R
