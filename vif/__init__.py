"""VIF Lens: see where a vision-language model looks, and steer it back to the image."""

from vif import metrics, report, scenes
from vif.errors import InputError
from vif.inputs import images
from vif.model.generation import Cancelled
from vif.model.loading import download_size
from vif.question import Question
from vif.session import Session, load
from vif.settings import Settings
from vif.trace import Mixture, Trace
from vif.traces import Traces

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "InputError",
    "Mixture",
    "Question",
    "Session",
    "Settings",
    "Trace",
    "Traces",
    "download_size",
    "images",
    "load",
    "metrics",
    "report",
    "scenes",
]
