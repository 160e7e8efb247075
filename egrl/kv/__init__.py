"""Which keys and values a decoder keeps: methods that lay out its caches."""
