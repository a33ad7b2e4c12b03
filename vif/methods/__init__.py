"""Ways to answer a question; importing the package registers them."""

from vif.methods import mixing, plain
from vif.methods.base import Method, Request, find, names

__all__ = ["Method", "Request", "find", "mixing", "names", "plain"]
