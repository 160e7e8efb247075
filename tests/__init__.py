"""Tests of all four packages."""
