"""Names of types that transformers itself does not have."""

from __future__ import annotations

from typing import Any, TypeAlias

# An image-text-to-text model. `generate`, the vision tower and the language model come by mixins
# and auto classes, so no class of transformers declares all that such a model has.
VisionLanguageModel: TypeAlias = Any
