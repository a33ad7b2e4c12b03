"""Guards between a request and the page: files, origins, turns at the model, errors."""

from vif.ui.guard.page import MODEL, Page
from vif.ui.guard.turns import Turns

__all__ = ["MODEL", "Page", "Turns"]
