"""Uploads to the Hugging Face Hub: the Space, the bundled model, adapters and scenes."""

from vif.hub.cards import card
from vif.hub.repository import upload

__all__ = ["card", "upload"]
