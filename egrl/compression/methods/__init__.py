"""Methods that learn: they need gradients of the whole model."""
