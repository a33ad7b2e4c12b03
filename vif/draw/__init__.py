"""Arrays in, pictures out: heatmaps and overlays, and plotly figures."""
