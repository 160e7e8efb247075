"""What follows a product element by element and is part of its op."""

# Elementary operations per element, as `graph_ir.op_rules.vector_cost` counts them; decomposed
# forms (x * sigmoid(x)) are the sums of their nodes.
ACTIVATIONS: dict[str, int] = {
    "none": 0,
    "relu": 1,
    "clip": 1,
    "leaky_relu": 1,
    "hard_sigmoid": 3,
    "hard_swish": 4,
    "sigmoid": 4,
    "tanh": 4,
    "silu": 5,
    "gelu": 13,
}
