"""Forward passes of a training step: what is read from the layers, and what is mixed in."""
