"""A tiered machine on this computer: plans executed for real behind rate-limited memories."""
