"""Artifacts: write, verify, load, execute; and the plan executed in real memory."""
