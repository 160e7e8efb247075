"""Compression: what is quantized, how it is written into the graph, and the methods that choose."""
