"""Training of a VIF adapter on any backbone."""
