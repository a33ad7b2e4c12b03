"""Arrays in, pictures out: heatmaps, overlays and plain-text tables."""
