"""Prior and posterior maps, and the answers that a model considers most likely."""
