"""Change a few homes of a placement and time it again, touching only what they can touch.

A local search tries millions of placements that differ in a tensor or two. `kernel.py` walks all
ops for each; this walks from the first op whose prefetching can see a change until the timeline is
again what it was. Live bytes are kept up to date likewise. The protocol of a move:

    set_home(tables, state, tensor, home)      # any number of times
    if overflow(tables, state) <= 0: latency_s = retime(tables, state)
    keep(state)                                # or set_home back, then forget(state)
"""
