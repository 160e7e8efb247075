"""Sweeps: latency over a changing accelerator or a changing model."""
