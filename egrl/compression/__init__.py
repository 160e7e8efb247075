"""Compression as `compile --compress` runs it: what was asked for, measured on the model itself."""
