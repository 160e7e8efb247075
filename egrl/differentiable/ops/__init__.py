"""Operators in torch, a file for each family."""
