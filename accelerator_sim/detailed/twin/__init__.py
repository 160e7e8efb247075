"""The event loop of the detailed model, written to be read: SimPy, callbacks and generators.

Only tests use it: they compare the compiled loop with it, bit by bit.
"""

from accelerator_sim.detailed.twin.simulate import simulate_with_twin

__all__ = ["simulate_with_twin"]
