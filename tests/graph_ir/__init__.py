"""Tests of graph_ir, and tiny models that other tests use too."""
