"""Offsets within a memory for buffers with lifetimes."""

from accelerator_sim.allocate.buffers import Allocation, Buffer
from accelerator_sim.allocate.solve import DEFAULT_NODE_BUDGET, allocate, allocate_arrays

__all__ = ["DEFAULT_NODE_BUDGET", "Allocation", "Buffer", "allocate", "allocate_arrays"]
