"""Edits of attention that need its weights: the chosen rows are computed anew and patched in.

Pure functions of queries, keys, values and masks. Knows nothing about models. What is linear in
the output needs none of this: `vif.rows.Mix`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vif.rows import hide, raw_logits


@dataclass(frozen=True)
class Rows:
    """The query rows of one layer that an edit is shown.

    Attributes:
        layer: The layer.
        positions: Position of every row in the padded sequence, (R,).
        first_key: Position of key 0; above 0 where a sliding cache has dropped keys.
        edited: Which of the rows are to be edited, (B, R) bool; the others are put back.
        visible: Which keys a row sees, (B or 1, 1, R, K) bool.
        query: Queries of the rows, (B, H, R, D), after positions.
        key: Keys, (B, Hkv, K, D).
        value: Values, (B, Hkv, K, D).
    """

    layer: int
    positions: torch.Tensor
    first_key: int
    edited: torch.Tensor
    visible: torch.Tensor
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor

    def columns(self, positions: torch.Tensor) -> torch.Tensor:
        """Where positions (B, N) of the sequence are marked among the keys, (B, 1, 1, K) float."""
        marked = torch.zeros(len(positions), self.key.shape[2], device=self.key.device)
        index = positions.to(marked.device) - self.first_key
        return marked.scatter_(1, index.clamp_min(0), (index >= 0).float())[:, None, None]

    def spread(self, weights: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Weights (B, N) of positions (B, N) laid out over the keys, (B, 1, 1, K) float."""
        laid = torch.zeros(len(positions), self.key.shape[2], device=self.key.device)
        index = positions.to(laid.device) - self.first_key
        weights = weights.to(laid) * (index >= 0)
        return laid.scatter_add_(1, index.clamp_min(0), weights)[:, None, None]


class Edit:
    """What a method does to the attention of one layer. By default nothing.

    Attributes:
        first_row: First edited position per prompt, (B,); earlier rows are never touched.
        last_only: Whether only the last row of a pass is edited.
    """

    last_only: bool = False

    def __init__(self, first_row: torch.Tensor) -> None:
        self.first_row = first_row

    def logits(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:  # noqa: ARG002
        """Edits logits (B, H, R, K) before the softmax; hidden keys are hidden afterwards.

        -inf hides a key from a row; a row must keep at least one.
        """
        return logits

    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:  # noqa: ARG002
        """Edits attention (B, H, R, K) after the softmax; rows should keep their sums."""
        return weights

    def output(self, out: torch.Tensor, layer: int) -> torch.Tensor:  # noqa: ARG002
        """Edits what the heads put out, all rows of the pass, (B, Q, H, D), before W_O."""
        return out


def apply_edit(
    edit: Edit,
    layer: int,
    out: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    softcap: float | None,
    start: int,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Patches edited rows into stock attention.

    Args:
        edit: What to do.
        layer: The layer.
        out: Stock attention output, (B, Q, H, D).
        query: (B, H, Q, D).
        key: (B, Hkv, K, D).
        value: (B, Hkv, K, D).
        mask: As in `vif.rows.row_probabilities`.
        scaling: Factor on the logits.
        softcap: Soft limit on the logits (Gemma 2).
        start: Position of the first query.

    Returns:
        (B, Q, H, D), bit-equal to `out` in rows that are not edited and heads whose output the
        edit leaves alone; and the attention of the last row, (B, H, K) float32, None if the edit
        has no rows in this pass.
    """
    queries = query.shape[2]
    first_row = edit.first_row.to(out.device)
    positions = torch.arange(start, start + queries, device=out.device)
    edited = positions >= first_row[:, None]
    if edit.last_only:
        edited = edited & (positions == positions[-1])
    chosen = torch.nonzero(edited.any(0)).squeeze(1)
    last = None
    if len(chosen):
        logits, visible = raw_logits(query, key, mask, scaling, chosen, softcap)
        first_key = max(0, start + queries - key.shape[2])
        picked = query.index_select(2, chosen)
        rows = Rows(
            layer, positions[chosen], first_key, edited[:, chosen], visible, picked, key, value
        )
        before = hide(logits, visible).softmax(-1)
        after = edit.weights(hide(edit.logits(logits, rows), visible).softmax(-1), rows)
        weights = torch.where(rows.edited[:, None, :, None], after, before)
        groups = value.shape[1]
        grouped = weights.unflatten(1, (groups, -1)).flatten(2, 3)
        fresh = (grouped @ value.float()).unflatten(2, (-1, len(chosen))).flatten(1, 2)
        fresh = fresh.transpose(1, 2).to(out.dtype)
        kept = out.index_select(1, chosen)
        patched = torch.where(rows.edited[:, :, None, None], fresh, kept)
        out = out.index_copy(1, chosen, patched)
        if int(chosen[-1]) == queries - 1:
            last = weights[:, :, -1]
    return edit.output(out, layer), last
