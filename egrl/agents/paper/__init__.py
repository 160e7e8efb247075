"""EGRL as published (arXiv 2007.07298): evolution and reinforcement learning over one buffer."""
