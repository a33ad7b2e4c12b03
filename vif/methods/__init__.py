"""Ways to answer a question; importing the package registers them."""

from vif.methods import controls, free, mixing, plain
from vif.methods.base import Method, Option, Request, find, names

__all__ = ["Method", "Option", "Request", "controls", "find", "free", "mixing", "names", "plain"]
