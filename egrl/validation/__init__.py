"""The simulator against other people's simulators and silicon: one file per tool.

Every row of a reference becomes a one-op graph that is loaded, lowered, priced and timed like any
model, on an accelerator file of its own. No formula of a tool lives here.
"""
