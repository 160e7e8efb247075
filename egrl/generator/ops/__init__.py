"""Ops as lowering writes them, one module per group of op families."""
