"""Keys and values of images that were read once, shared by all rows behind them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from typing_extensions import override


class SharedLayer(DynamicLayer):
    """One layer of a prefix as the rows of a pass see it.

    It keeps nothing of what is added, so that running a layer again for its gradient
    (checkpointing) sees what the first run saw.
    """

    def __init__(self, prefix: DynamicLayer, image: torch.Tensor) -> None:
        super().__init__()
        self.lazy_initialization(prefix.keys, prefix.values)
        self.keys, self.values, self.image = prefix.keys, prefix.values, image

    @override
    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The image's keys and values followed by the rows' own."""
        shared = (part.index_select(0, self.image) for part in (self.keys, self.values))
        keys, values = (
            torch.cat([part, new], -2)
            for part, new in zip(shared, (key_states, value_states), strict=True)
        )
        return keys, values


def share(prefix: DynamicCache, image: torch.Tensor) -> DynamicCache:
    """A cache for rows (R,) whose images are given, over the layers that the prefix has."""
    cache = DynamicCache()
    filled = [layer for layer in prefix.layers if layer.is_initialized]
    cache.layers = [SharedLayer(layer, image) for layer in filled]
    return cache
