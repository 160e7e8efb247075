"""Simulation of accelerators: cost model, timeline engine, allocator, validator, reports."""
