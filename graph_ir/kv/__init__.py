"""The caches of a decoder: which keys and values are kept, and the graphs that keep them."""
