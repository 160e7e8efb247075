"""Our agent: a graph policy that scores (tensor, home) pairs, and the searches that it drives."""
