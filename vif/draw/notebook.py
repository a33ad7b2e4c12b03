"""An answer as HTML for a notebook: its tokens, and where every layer looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from vif.draw.render import data_url, overlay, paint_scale, shrink

SIDE = 150  # pixels of the longer side of a layer's picture
PALETTE, OPACITY = "viridis", 0.6
# Drawn in place of an unknown picture.
_BLANK = 230


def answer_html(
    title: str,
    tokens: Sequence[str],
    logprobs: np.ndarray,
    maps: np.ndarray,
    cells: np.ndarray,
    blocks: np.ndarray,
    picture: np.ndarray | None = None,
) -> str:
    """Tokens with their probabilities, and an overlay per layer on one shared scale.

    Args:
        title: Above it.
        tokens: The answer's tokens.
        logprobs: Of each, natural log.
        maps: Attention to every image token by layer, (L, N), NaN in layers without attention.
        cells: Rectangles of the tokens, (N, 4).
        blocks: Which grid a token belongs to, (N,).
        picture: The image, (H, W, 3) uint8; a grey square if None.
    """
    base = np.full((SIDE, SIDE, 3), _BLANK, np.uint8) if picture is None else shrink(picture, SIDE)
    known = [layer for layer in range(len(maps)) if not np.isnan(maps[layer]).any()]
    fields = [paint_scale(maps[i], cells, blocks, _scale(blocks), base.shape[:2]) for i in known]
    top = max((float(np.nanmax(field)) for field in fields), default=1.0) or 1.0
    said = " ".join(
        f'<span title="probability {math.exp(logprob):.3f}" style="border-bottom:2px solid '
        f'rgba(226,102,29,{math.exp(logprob):.2f})">{escape(token)}</span>'
        for token, logprob in zip(tokens, logprobs.tolist(), strict=True)
    )
    shown = "".join(
        f'<figure style="margin:0 8px 8px 0;display:inline-block"><img alt="attention of layer '
        f'{layer}" src="{data_url(overlay(base, field, top, PALETTE, OPACITY))}">'
        f'<figcaption style="font-size:11px">layer {layer}</figcaption></figure>'
        for layer, field in zip(known, fields, strict=True)
    )
    return (
        f'<div style="font-family:sans-serif"><b>{escape(title)}</b><p>{said}</p>{shown}'
        f'<p style="font-size:11px">First token, mean over heads; colours from 0 to {top:.4f} of '
        "the row, the same for all layers.</p></div>"
    )


def _scale(blocks: np.ndarray) -> str:
    return "all" if (blocks > 0).any() else "whole"
