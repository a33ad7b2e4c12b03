"""Training of the bundled model from nothing."""
