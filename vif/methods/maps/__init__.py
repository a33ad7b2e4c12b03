"""Where: maps over image tokens, one registry."""
