"""Dense labels: the object at every image token, to pre-train the vision tower."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from training.pretrain.processor import PATCH_SIZE, SIDE
from vif.inputs.boxes import box_overlap
from vif.model.families import grid_cells
from vif.scenes import Scene
from vif.scenes.questions import GRID
from vif.scenes.world import COLOURS, GLYPHS, IMAGE_SIZE, SHAPES, SIZES

CELLS = grid_cells(SIDE, SIDE) * IMAGE_SIZE  # of the image tokens, in pixels

DENSE_CLASSES = (len(COLOURS) + 1, len(SHAPES) + 1, len(GLYPHS) + 1, len(SIZES) + 1, GRID**2 + 1)
GLYPH = 2  # place of the character among them


class DenseHead(nn.Module):
    """Reads colour, shape, character, size and place of the object at a token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, sum(DENSE_CLASSES) + 2)

    def loss(self, states: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean loss over tokens (B, N, d), background weighted down."""
        *logits, offset = self.head(states).float().split([*DENSE_CLASSES, 2], -1)
        truth = batch["dense_class"]
        inside = truth[..., 0] > 0
        weight = torch.where(inside, 1.0, 0.15)
        total = torch.zeros(())
        for i, part in enumerate(logits):
            loss = F.cross_entropy(part.flatten(0, 1), truth[..., i].flatten(), reduction="none")
            total = total + (loss * weight.flatten()).sum() / weight.sum()
            if i == GLYPH:  # rare, and easily answered with "none"
                written = truth[..., i].flatten() > 0
                total = total + (loss * written).sum() / written.sum().clamp_min(1)
        gap = F.smooth_l1_loss(offset, batch["dense_offset"], reduction="none").sum(-1)
        return total + (gap * inside).sum() / inside.sum().clamp_min(1)

    @torch.no_grad()
    def accuracy(self, states: torch.Tensor, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """Share of object tokens (tokens with a character, for ``glyph``) read correctly."""
        logits = self.head(states).split([*DENSE_CLASSES, 2], -1)[:-1]
        truth = batch["dense_class"]
        out = {}
        for i, name in enumerate(("colour", "shape", "glyph", "size", "cell")):
            chosen = truth[..., i] > 0
            hits = logits[i].argmax(-1)[chosen] == truth[..., i][chosen]
            out[name] = round(hits.float().mean().item(), 3)
        return out


def dense_targets(scene: Scene) -> dict[str, np.ndarray]:
    """The labels of every image token: the object in it, for pre-training the vision tower.

    Returns:
        ``dense_class`` (N, 5) int64: colour, shape, glyph, size, grid cell of the object's centre,
        each with 0 for nothing;
        ``dense_offset`` (N, 2) float32: object's centre minus token's centre, in token widths.
    """
    classes = np.zeros((SIDE, SIDE, len(DENSE_CLASSES)), np.int64)
    offsets = np.zeros((SIDE, SIDE, 2), np.float32)
    best = np.zeros((SIDE, SIDE), np.float32)
    ticks = np.arange(SIDE) + 0.5
    for item in scene.objects:
        overlap = box_overlap(CELLS, scene.box(item)).reshape(SIDE, SIDE)
        share = overlap / max(overlap.sum(), 1e-6)
        wins = (share > best) & ((share > 0.15) | (overlap > 0.3 * PATCH_SIZE**2))
        best[wins] = share[wins]
        classes[wins] = (
            1 + tuple(COLOURS).index(item.colour),
            1 + SHAPES.index(item.shape),
            1 + GLYPHS.index(item.glyph) if item.glyph else 0,
            1 + tuple(SIZES).index(item.size),
            1 + GRID * int(item.y * GRID) + int(item.x * GRID),
        )
        dx, dy = np.meshgrid(item.x * SIDE - ticks, item.y * SIDE - ticks)
        offsets[wins] = np.stack([dx, dy], -1)[wins]
    return {
        "dense_class": classes.reshape(-1, len(DENSE_CLASSES)),
        "dense_offset": offsets.reshape(-1, 2),
    }
