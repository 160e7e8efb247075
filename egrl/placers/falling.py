"""Indices by falling key, in time linear in their number: what a decode took longest for."""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled

DIGIT_BITS = 11
DIGITS = 4
RADIX = 1 << DIGIT_BITS

FEW = 512
"""Keys that are merged as fast."""


@compiled
def falling(key_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of keys, the highest first; equals by index, and a negative zero equals zero.

    A radix sort from the lowest digit (Knuth, The Art of Computer Programming 3, 5.2.5) over the
    upper 44 bits of the floats, turned so that they rise as unsigned integers where the keys fall;
    an insertion sort tells apart those that differ below.

    Args:
        key_N: float64, numbers.
    """
    count = key_N.shape[0]
    if count < FEW:
        return np.argsort(-key_N, kind="mergesort")
    sign = np.uint64(1) << np.uint64(63)
    digit_mask = np.uint64(RADIX - 1)
    lowest = np.uint64(64 - DIGITS * DIGIT_BITS)
    bits_N, next_bits_N = (key_N + 0.0).view(np.uint64), np.empty(count, np.uint64)
    order_N, next_order_N = np.arange(count), np.empty(count, np.int64)
    seen_DR = np.zeros((DIGITS, RADIX), np.int64)
    for n in range(count):
        if not bits_N[n] & sign:
            bits_N[n] = ~bits_N[n] ^ sign
        for d in range(DIGITS):
            seen_DR[d, (bits_N[n] >> (lowest + np.uint64(d * DIGIT_BITS))) & digit_mask] += 1
    for d in range(DIGITS):
        shift = lowest + np.uint64(d * DIGIT_BITS)
        first = 0
        for r in range(RADIX):
            first, seen_DR[d, r] = first + seen_DR[d, r], first
        for n in range(count):
            digit = (bits_N[n] >> shift) & digit_mask
            place = seen_DR[d, digit]
            seen_DR[d, digit] = place + 1
            next_bits_N[place], next_order_N[place] = bits_N[n], order_N[n]
        bits_N, next_bits_N = next_bits_N, bits_N
        order_N, next_order_N = next_order_N, order_N
    for n in range(1, count):
        bits, index, place = bits_N[n], order_N[n], n
        while place > 0 and bits_N[place - 1] > bits:
            bits_N[place], order_N[place] = bits_N[place - 1], order_N[place - 1]
            place -= 1
        bits_N[place], order_N[place] = bits, index
    return order_N
