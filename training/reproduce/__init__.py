"""From nothing to the tables of the README."""
