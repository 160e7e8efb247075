"""The compiled event loop of the detailed model; `twin` is the same, written to be read.

Events happen in the order of time, then of priority, then of scheduling, as SimPy's do, and every
float is computed from the same floats in the same order. So both give the same bits.
"""
