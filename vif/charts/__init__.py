"""Figures of answers and probes: Plotly for the page, Matplotlib for papers."""
