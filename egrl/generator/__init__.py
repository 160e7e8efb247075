"""Seeded generators of realistic placement problems: workloads, accelerators, and both together.

A policy is trained on them and search methods are compared on them. Nothing is read from files of
models; ops have the fields that lowering gives them.
"""
