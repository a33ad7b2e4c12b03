"""One zip that shows a question and its answers again without a model; see `Bundle`."""

from vif.bundle.content import FORMAT_VERSION, Bundle
from vif.bundle.reading import read
from vif.bundle.writing import provenance, write

__all__ = ["FORMAT_VERSION", "Bundle", "provenance", "read", "write"]
