"""From nothing to the tables of README and docs."""
