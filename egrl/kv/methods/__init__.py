"""One file for each way of choosing what the KV heads keep."""
