"""Per op family: its matrix products, vector work, and how the cores share it."""
