"""Accelerator files made by measuring: `egrl calibrate`."""
