"""Decoders: language models that generate token by token, recognised in what exporters emit."""
