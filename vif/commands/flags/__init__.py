"""Flags that several commands share, and the values made from them."""
