"""Ways to answer a question: a method, a map or an edit is one file that registers itself."""

import importlib
import pkgutil

from vif.methods.base import Group, Method, Option, Request
from vif.methods.registry import colour, find, grouped, label, names

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)

__all__ = [
    "Group",
    "Method",
    "Option",
    "Request",
    "colour",
    "find",
    "grouped",
    "label",
    "names",
]
