"""The float64 twin of cached attention, which the benchmark measures exactness with too."""

from egrl.bench.kv.exactness_twin import Twin

__all__ = ["Twin"]
