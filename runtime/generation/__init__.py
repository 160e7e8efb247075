"""Text from the artifact of a decoder: graphs, caches, sampling, tokenizer, sessions on disk."""
