"""Edits of attention rows, against attention written out row by row."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from vif.model.edits import Edit, Rows, apply_edit

B, H, GROUPS, D = 2, 4, 2, 8
SCALE = 0.3


class Odd(Edit):
    """Touches logits, weights and outputs at once, each head and row in its own way."""

    def __init__(self, first_row, last_only=False):
        super().__init__(first_row)
        self.last_only = last_only

    def logits(self, logits, rows):
        return logits * 1.5 + torch.arange(logits.shape[-1]) / 7

    def weights(self, weights, rows):
        turned = weights.roll(1, -1) * rows.visible
        return 0.5 * weights + 0.5 * turned / turned.sum(-1, keepdim=True)

    def output(self, out, layer):
        return out * torch.tensor([1.0, 1.0, 2.0, 1.0])[:, None]


def tensors(queries, keys, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((B, H, queries, D), (B, GROUPS, keys, D), (B, GROUPS, keys, D))
    return [torch.randn(shape, generator=generator) for shape in shapes]


def padding_mask(queries, keys, pads):
    """Causal, and the first keys of every prompt hidden; True is visible."""
    causal = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    return causal & (torch.arange(keys) >= torch.tensor(pads)[:, None])[:, None, None]


def stock(query, key, value, mask):
    key, value = (x.repeat_interleave(H // GROUPS, 1) for x in (key, value))
    mask = padding_mask(query.shape[2], key.shape[2], [0] * B) if mask is None else mask
    return scaled_dot_product_attention(query, key, value, mask, scale=SCALE).transpose(1, 2)


def written_out(query, key, value, mask, start, first_row, last_only):
    """What `Odd` means, one row at a time, in double precision."""
    queries, keys = query.shape[2], key.shape[2]
    out = torch.zeros(B, queries, H, D, dtype=torch.double)
    last = torch.zeros(B, H, keys, dtype=torch.double)
    for b in range(B):
        for h in range(H):
            k, v = key[b, h // 2].double(), value[b, h // 2].double()
            for i in range(queries):
                sees = torch.arange(keys) <= i + keys - queries
                sees = sees if mask is None else mask[b, 0, i]
                if not sees.any():
                    continue
                e = (k @ query[b, h, i].double()) * SCALE
                is_edited = start + i >= first_row[b] and (not last_only or i == queries - 1)
                if is_edited:
                    e = e * 1.5 + torch.arange(keys) / 7
                a = torch.exp(e - e[sees].max()) * sees
                a = a / a.sum()
                if is_edited:
                    turned = torch.cat([a[-1:], a[:-1]]) * sees
                    a = 0.5 * a + 0.5 * turned / turned.sum()
                out[b, i, h] = a @ v * (2 if h == 2 else 1)
                last[b, h] = a
    return out, last


CASES = {
    "prompt": (9, 9, None, 0),
    "prompt with padding": (9, 9, [0, 6], 0),
    "next token": (1, 12, None, 11),
    "next token with padding": (1, 12, [0, 4], 11),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("last_only", [False, True])
def test_edited_rows_equal_attention_written_out(case, last_only):
    queries, keys, pads, start = CASES[case]
    query, key, value = tensors(queries, keys)
    mask = None if pads is None else padding_mask(queries, keys, pads)
    first_row = torch.tensor([3, 7])
    out = stock(query, key, value, mask)
    edit = Odd(first_row, last_only)
    got, last = apply_edit(edit, 5, out, query, key, value, mask, SCALE, None, start)
    want, want_last = written_out(query, key, value, mask, start, first_row, last_only)
    is_token = torch.arange(start, start + queries) >= torch.tensor(pads or [0, 0])[:, None]
    assert torch.allclose(got.double()[is_token], want[is_token], atol=1e-5)
    assert torch.allclose(last.double(), want_last, atol=1e-5)
    assert torch.allclose(last.sum(-1), torch.ones(()), atol=1e-5)
    if pads is not None:
        assert (last[1, :, : pads[1]] == 0).all()


def test_rows_before_the_first_are_bit_equal_and_nothing_becomes_nan():
    query, key, value = tensors(9, 9)
    mask = padding_mask(9, 9, [0, 6])
    out = stock(query, key, value, mask)
    out[1, :6] = 0
    got, _ = apply_edit(Odd(torch.tensor([3, 7])), 0, out, query, key, value, mask, SCALE, None, 0)
    unscaled = got / torch.tensor([1.0, 1.0, 2.0, 1.0])[:, None]
    assert torch.equal(unscaled[0, :3], out[0, :3])
    assert torch.equal(unscaled[1, :7], out[1, :7])
    assert not got.isnan().any()


def test_an_edit_that_changes_nothing_changes_nothing():
    query, key, value = tensors(6, 6)
    out = stock(query, key, value, None)
    got, _ = apply_edit(Edit(torch.tensor([0, 0])), 0, out, query, key, value, None, SCALE, None, 0)
    assert torch.allclose(got, out, atol=1e-5)
    for nowhere in (None, torch.tensor([99, 99])):
        got, last = apply_edit(Edit(nowhere), 0, out, query, key, value, None, SCALE, None, 0)
        assert torch.equal(got, out)
        assert last is None


def test_a_row_of_more_than_one_is_recorded_as_shares():
    class Doubled(Edit):
        def weights(self, weights, rows):
            return 2 * weights

    query, key, value = tensors(4, 4)
    out = stock(query, key, value, None)
    got, last = apply_edit(
        Doubled(torch.tensor([0, 0])), 0, out, query, key, value, None, SCALE, None, 0
    )
    assert torch.allclose(got, 2 * out, atol=1e-5)
    assert torch.allclose(last.sum(-1), torch.ones(()), atol=1e-5)


def rows_from(first_key, keys=6):
    key = torch.zeros(B, GROUPS, keys, D)
    nothing = torch.zeros(0)
    return Rows(0, nothing, first_key, nothing, nothing, key, key)


def test_positions_among_keys_when_a_sliding_cache_has_dropped_some():
    rows = rows_from(first_key=3)
    positions = torch.tensor([[1, 3, 5], [2, 4, 8]])
    expected = torch.tensor([[1.0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 1]])
    assert torch.equal(rows.columns(positions)[:, 0, 0], expected)
    laid = rows.spread(torch.tensor([[5.0, 6, 7], [5, 6, 7]]), positions)[:, 0, 0]
    assert torch.equal(laid, torch.tensor([[6.0, 0, 7, 0, 0, 0], [0, 6, 0, 0, 0, 7]]))
    of_heads = rows.spread(torch.ones(B, H, 3) * torch.arange(H)[:, None], positions)
    assert of_heads.shape == (B, H, 1, 6)
    assert torch.equal(of_heads[:, 2, 0], 2 * expected)


def test_reading_and_writing_positions_are_inverse():
    rows = rows_from(first_key=3)
    positions = torch.tensor([[1, 3, 5], [2, 4, 8]])
    weights = torch.rand(B, H, 2, 6)
    seen = rows.at(weights, positions)
    assert seen.shape == (B, H, 2, 3)
    assert (seen[..., 0] == 0).all(), "dropped"
    assert torch.equal(seen[0, :, :, 1:], weights[0][..., [0, 2]])
    assert torch.equal(rows.spread(seen[:, :, 1], positions)[0, :, 0, 2], weights[0, :, 1, 2])
