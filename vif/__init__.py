"""VIF Lens: see where a vision-language model looks, and steer it back to the image."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vif import metrics, report, scenes
    from vif.errors import InputError
    from vif.inputs import images
    from vif.model.checkpoints.loading import download_size
    from vif.model.generation import Cancelled
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

# Imported when they are asked for (PEP 562): PyTorch takes seconds to import, and a command has to
# answer Ctrl-C meanwhile.
_PLACES = {
    "Cancelled": "vif.model.generation:Cancelled",
    "InputError": "vif.errors:InputError",
    "Mixture": "vif.trace:Mixture",
    "Question": "vif.question:Question",
    "Session": "vif.session:Session",
    "Settings": "vif.settings:Settings",
    "Trace": "vif.trace:Trace",
    "Traces": "vif.traces:Traces",
    "download_size": "vif.model.checkpoints.loading:download_size",
    "images": "vif.inputs.images:",
    "load": "vif.session:load",
    "metrics": "vif.metrics:",
    "report": "vif.report:",
    "scenes": "vif.scenes:",
}


def __getattr__(name: str) -> Any:
    """What a user of the package asks for, from the module that it is in."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = resolve_name(_PLACES[name])
    return found


def __dir__() -> list[str]:
    """Names of the package, imported or not."""
    return sorted({*globals(), *__all__})
