"""VIF Lens: see where a vision-language model looks, and steer it back to the image."""

from vif import images, metrics, report, scenes
from vif.errors import InputError
from vif.generation import Cancelled
from vif.session import Session, load
from vif.settings import Settings
from vif.trace import Mixture, Trace

__all__ = [
    "Cancelled",
    "InputError",
    "Mixture",
    "Session",
    "Settings",
    "Trace",
    "images",
    "load",
    "metrics",
    "report",
    "scenes",
]
