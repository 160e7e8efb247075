"""Audit of somebody else's placement: certified gap, the moves that recover most, pins to paste.

Needs neither ONNX nor torch. The file format and the cost model are in `docs/audit.md`.
"""
