"""Benchmarks that anyone can rerun: `egrl bench SUITE`."""
