"""Machines that say how long a placement takes: the engine, slower models, real programs."""
