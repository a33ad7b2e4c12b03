"""Reproduces the tables of README and docs from scratch."""
