"""How events run: at once, only the latest, or one after the other on the model."""

from __future__ import annotations

# Redrawing is a matter of milliseconds: no queue, no spinner, and only the latest drag counts.
QUICK = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# Of a drag only the latest position counts.
LATEST = {**QUICK, "trigger_mode": "always_last"}
# What runs the model: one at a time, and a second click on the same button counts for nothing.
SLOW = {
    "concurrency_limit": 1,
    "concurrency_id": "model",
    "trigger_mode": "once",
    "show_progress": "hidden",
    "api_visibility": "private",
}
