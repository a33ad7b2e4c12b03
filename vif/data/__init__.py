"""Questions of a person's own: read from files of several formats into one list of examples.

Knows nothing about models. Broken entries are left out and listed, never guessed.
"""

from vif.data.example import Data, Example, Skipped
from vif.data.reading import read
from vif.data.sampling import checksum, sample

__all__ = ["Data", "Example", "Skipped", "checksum", "read", "sample"]
