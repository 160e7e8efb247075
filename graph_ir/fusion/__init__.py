"""Fusion of ONNX nodes into placement ops: grouping, never rewriting."""
