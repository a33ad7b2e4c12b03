"""Training of the bundled model and of VIF adapters."""
