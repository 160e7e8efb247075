"""Advice: what would make a plan faster, found by placing and simulating again."""
