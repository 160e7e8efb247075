"""What one op costs: cycles of the arrays, traffic of the operands, ways to share and tile it."""
