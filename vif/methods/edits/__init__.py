"""Edits: what is done to attention with a map over image tokens, one registry."""
