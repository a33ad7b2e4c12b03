"""Checkpoints: which there are, what their configuration says, download, and loading."""
