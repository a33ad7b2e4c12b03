"""LLaVA-format data: read, encoded, batched."""
