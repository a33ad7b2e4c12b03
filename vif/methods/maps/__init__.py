"""Maps over image tokens, one registry."""
