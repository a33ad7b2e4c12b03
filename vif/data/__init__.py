"""Your own questions, read from files of several formats into one list of examples.

Knows nothing about models. Entries that cannot be used are skipped and listed; nothing is guessed.
"""

from vif.data.example import DataSet, Example, SkippedEntry
from vif.data.reading import read
from vif.data.sampling import checksum, sample

__all__ = ["DataSet", "Example", "SkippedEntry", "checksum", "read", "sample"]
