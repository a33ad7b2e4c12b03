"""Edits of attention that need its weights: the chosen rows are recomputed and patched in.

Pure functions of queries, keys, values and masks. Knows nothing about models. What is linear in
the output needs none of this: `vif.model.rows.Mix`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vif.model.rows import hide, raw_logits


@dataclass(frozen=True)
class Rows:
    """The query rows of one layer that an edit is shown.

    Attributes:
        layer: The layer.
        positions: Position of every row in the padded sequence, (R,).
        first_key: Position of key 0; above 0 where a sliding cache has dropped keys.
        edited: Which of the rows are to be edited, (B, R) bool; the others are put back.
        visible: Which keys a row sees, (B or 1, 1, R, K) bool.
        key: Keys, (B, Hkv, K, D).
        value: Values, (B, Hkv, K, D).
    """

    layer: int
    positions: torch.Tensor
    first_key: int
    edited: torch.Tensor
    visible: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor

    def columns(self, positions: torch.Tensor) -> torch.Tensor:
        """Where positions (B, N) of the sequence are marked among the keys, (B, 1, 1, K) float."""
        return self.spread(torch.ones(positions.shape), positions)

    def spread(self, weights: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Weights of positions laid out over the keys.

        Args:
            weights: (B, N), or (B, H, N) where every head has its own.
            positions: Of the sequence, (B, N), all different.

        Returns:
            (B, 1 or H, 1, K) float32; keys that a cache has dropped get nothing.
        """
        index = positions.to(self.key.device)[:, None] - self.first_key
        weights = weights.to(index.device, torch.float32)
        weights = (weights if weights.ndim == 3 else weights[:, None]) * (index >= 0)
        laid = weights.new_zeros(*weights.shape[:2], self.key.shape[2])
        return laid.scatter_add_(2, index.clamp_min(0).expand_as(weights), weights)[:, :, None]

    def at(self, weights: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The columns (B, H, R, N) of (B, H, R, K) at positions (B, N); 0 where dropped."""
        index = positions.to(weights.device)[:, None, None] - self.first_key
        found = weights.gather(3, index.clamp_min(0).expand(*weights.shape[:3], -1))
        return found * (index >= 0)


class Edit:
    """What a method does to the attention of one layer. By default nothing.

    Attributes:
        first_row: First position per prompt, (B,), whose row `logits` and `weights` edit; earlier
            rows are never touched. None where only `query` or `output` are edited.
        last_only: Whether only the last row of a pass is edited.
    """

    last_only: bool = False

    def __init__(self, first_row: torch.Tensor | None) -> None:
        self.first_row = first_row

    def query(self, query: torch.Tensor, key: torch.Tensor, start: int) -> torch.Tensor:  # noqa: ARG002
        """Edits queries (B, H, Q, D), the first at position `start`, before anything else."""
        return query

    def logits(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:  # noqa: ARG002
        """Edits logits (B, H, R, K) before the softmax; hidden keys are hidden afterwards.

        -inf hides a key from a row; a row must keep at least one.
        """
        return logits

    def sees(self, visible: torch.Tensor, rows: Rows) -> torch.Tensor:  # noqa: ARG002
        """Edits which keys the rows see, (B or 1, 1, R, K) bool; some open more."""
        return visible

    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:  # noqa: ARG002
        """Edits attention (B, H, R, K) after the softmax.

        Rows should keep their sums. One that comes to more than 1, as scaled values make it, is
        recorded as shares of its sum.
        """
        return weights

    def output(self, out: torch.Tensor, layer: int) -> torch.Tensor:  # noqa: ARG002
        """Edits the outputs of the heads, all rows of the pass, (B, Q, H, D), before W_O."""
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
        mask: As in `vif.model.rows.last_row`.
        scaling: Factor on the logits.
        softcap: Soft limit on the logits (Gemma 2).
        start: Position of the first query.

    Returns:
        (B, Q, H, D), bit-equal to `out` in rows that are not edited and heads whose output the
        edit leaves alone; and the attention of the last row, (B, H, K) float32, None if the edit
        has no rows in this pass.
    """
    if (chosen := _chosen(edit, start, query.shape[2], out.device)) is None:
        return edit.output(out, layer), None
    index, edited = chosen
    logits, visible = raw_logits(query, key, mask, scaling, index, softcap)
    # A row of padding sees nothing; it is not edited, but must not become NaN either.
    visible = visible | ~visible.any(-1, keepdim=True)
    first_key = max(0, start + query.shape[2] - key.shape[2])
    rows = Rows(layer, start + index, first_key, edited, visible, key, value)
    opened = edit.sees(visible, rows)
    weights = edit.weights(hide(edit.logits(logits, rows), opened).softmax(-1), rows)
    if not edited.all():
        before = hide(logits, visible).softmax(-1)
        weights = torch.where(edited[:, None, :, None], weights, before)
    fresh = _pooled(weights, value).to(out.dtype)
    patched = torch.where(edited[:, :, None, None], fresh, out.index_select(1, index))
    last = None
    if int(index[-1]) == query.shape[2] - 1:
        last = weights[:, :, -1]
        last = last / last.sum(-1, keepdim=True).clamp_min(1)
    return edit.output(out.index_copy(1, index, patched), layer), last


def _chosen(
    edit: Edit, start: int, queries: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Which rows of a pass have to be computed, (R,), and for which prompts, (B, R) bool."""
    if edit.first_row is None:
        return None
    positions = torch.arange(start, start + queries, device=device)
    edited = positions >= edit.first_row.to(device)[:, None]
    if edit.last_only:
        edited = edited & (positions == positions[-1])
    index = torch.nonzero(edited.any(0)).squeeze(1)
    return (index, edited[:, index]) if len(index) else None


def _pooled(weights: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Values (B, Hkv, K, D) summed by weights (B, H, R, K), (B, R, H, D) in float32."""
    rows = weights.shape[2]
    grouped = weights.unflatten(1, (value.shape[1], -1)).flatten(2, 3) @ value.float()
    return grouped.unflatten(2, (-1, rows)).flatten(1, 2).transpose(1, 2)
