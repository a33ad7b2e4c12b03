"""Endpoints for programs and agents, beside the page."""
