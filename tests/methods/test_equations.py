"""Every edit of a method against its equation, written out row by row on random q, k, v."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vif.methods.maps.paint import PAINTEdit
from vif.methods.papers.act import ACTEdit
from vif.methods.papers.cmai import CMAIEdit
from vif.methods.papers.sparc import SPARCEdit
from vif.methods.papers.tame import TAMEEdit
from vif.methods.papers.vaf import VAFEdit
from vif.methods.papers.var import VAREdit
from vif.methods.papers.vhr import VHREdit, vision_heads
from vif.model.edits import apply_edit

B, H, GROUPS, D, PROMPT, TOTAL = 2, 4, 2, 8, 14, 16
PADS = (0, 3)
IMAGE = np.array([[2, 3, 4, 5, 6], [5, 6, 7, 8, 9]])
AFTER = IMAGE.max(1) + 1
SCALE = 0.4


@pytest.fixture
def qkv():
    generator = torch.Generator().manual_seed(0)
    shapes = ((B, H, TOTAL, D), (B, GROUPS, TOTAL, D), (B, GROUPS, TOTAL, D))
    return [2 * torch.randn(shape, generator=generator) for shape in shapes]


def request(**options):
    mask = torch.arange(PROMPT) >= torch.tensor(PADS)[:, None]
    batch = SimpleNamespace(
        columns=torch.from_numpy(IMAGE),
        first_row=torch.from_numpy(AFTER),
        parts=torch.zeros(B, PROMPT),
        inputs={"attention_mask": mask.long()},
    )
    return SimpleNamespace(batch=batch, options=options, num_heads=H)


def sees(b, i):
    keys = np.arange(TOTAL)
    return (keys <= i) & (keys >= PADS[b])


def softmax(e, seen):
    a = np.where(seen, np.exp(e - e[seen].max()), 0)
    return a / a.sum()


def logits(qkv):
    """All logits, (B, H, TOTAL, TOTAL), every query head with its group's keys."""
    query, key, _ = (x.double().numpy() for x in qkv)
    e = [[query[b, h] @ key[b, h * GROUPS // H].T * SCALE for h in range(H)] for b in range(B)]
    return np.array(e)


def plain(e):
    a = np.zeros_like(e)
    for b, h, i in np.ndindex(B, H, TOTAL):
        if sees(b, i).any():
            a[b, h, i] = softmax(e[b, h, i], sees(b, i))
    return a


def outputs(a, qkv):
    value = qkv[2].double().numpy().repeat(H // GROUPS, 1)
    return (a @ value).transpose(0, 2, 1, 3)


def through(edit, qkv, before_step=lambda: None):
    """The edit as it runs: the prompt, then token after token with a cache.

    Returns:
        Outputs (B, TOTAL, H, D), and the recorded last row of every pass.
    """
    query, key, value = qkv
    out, recorded = [], []
    for start, end in [(0, PROMPT), *((i, i + 1) for i in range(PROMPT, TOTAL))]:
        before_step()
        mask = torch.stack([torch.tensor(np.array([sees(b, i) for i in range(start, end)]))
                            for b in range(B)])[:, None, :, :end]  # fmt: skip
        q, k, v = edit.query(query[:, :, start:end], key[:, :, :end], start), key, value
        k, v = k[:, :, :end], v[:, :, :end]
        stock = torch.nn.functional.scaled_dot_product_attention(
            q, *(x.repeat_interleave(H // GROUPS, 1) for x in (k, v)), mask, scale=SCALE
        ).transpose(1, 2)
        got, row = apply_edit(edit, 0, stock, q, k, v, mask, SCALE, None, start)
        out.append(got)
        recorded.append(row)
    return torch.cat(out, 1).double().numpy(), recorded


def check(got, want):
    """Rows of real tokens agree."""
    for b in range(B):
        assert np.allclose(got[b, PADS[b] :], want[b, PADS[b] :], atol=1e-5)


def edited_rows(only_last=False):
    for b, h, i in np.ndindex(B, H, TOTAL):
        if i >= (PROMPT - 1 if only_last else AFTER[b]):
            yield b, h, i


def move(a, sinks, targets, keep):
    """Takes from sinks, gives to targets in proportion."""
    new, freed = a.copy(), 0.0
    for j in sinks:
        new[j] = keep * a[j]
        freed += (1 - keep) * a[j]
    held = sum(a[j] for j in targets)
    for j in targets:
        new[j] += freed * a[j] / held
    return new


def test_var_edits_by_its_equation(qkv):
    edit = VAREdit(request(p=0.3, rho=0.5, visual=0.3))
    sinks = [[0, 3, 12], [3, 6]]
    edit.sinks = torch.zeros(B, PROMPT, dtype=torch.bool)
    for b in range(B):
        edit.sinks[b, sinks[b]] = True
    a = plain(logits(qkv))
    want, chosen = a.copy(), []
    for b, h, i in edited_rows():
        row, visual = a[b, h, i], a[b, h, i, IMAGE[b]].sum()
        others = [j for j in IMAGE[b] if j not in sinks[b]]
        chosen.append(visual >= 0.3 and row[others].sum() / visual >= 0.5)
        if chosen[-1]:
            want[b, h, i] = new = move(row, sinks[b], others, 0.3)
            assert np.isclose(new[others].sum() - row[others].sum(), 0.7 * row[sinks[b]].sum())
            assert np.allclose(new[others] / new[others].sum(), row[others] / row[others].sum())
            assert np.isclose(new.sum(), 1)
    assert 0 < sum(chosen) < len(chosen), "some heads and rows look at the image, some do not"
    check(through(edit, qkv)[0], outputs(want, qkv))


@pytest.mark.parametrize("heads", [None, [1, 2]])
def test_act_finds_sinks_in_the_prompt_and_keeps_them(qkv, heads):
    edit = ACTEdit(request(beta=0.4, factor=1.5), heads)
    a = plain(logits(qkv))
    want, number = a.copy(), 0
    for b, h in np.ndindex(B, H):
        rows = range(AFTER[b], PROMPT)
        column = {j: np.mean([a[b, h, i, j] for i in rows]) for j in IMAGE[b]}
        sinks = [j for j in IMAGE[b] if column[j] > 1.5 / (PROMPT - PADS[b])]
        others = [j for j in IMAGE[b] if j not in sinks]
        if not others or (heads is not None and h not in heads):
            continue
        number += len(sinks)
        for i in range(AFTER[b], TOTAL):
            want[b, h, i] = move(a[b, h, i], sinks, others, 0.4)
            visual = want[b, h, i, IMAGE[b]].sum(), a[b, h, i, IMAGE[b]].sum()
            assert np.isclose(*visual), "the share of the image stays"
    assert number > 0
    check(through(edit, qkv)[0], outputs(want, qkv))


@pytest.mark.parametrize("absolute", [0, 1])
def test_vaf_edits_by_its_equation(qkv, absolute):
    edit = VAFEdit(request(visual=1.5, system=0.8, absolute=absolute))
    e = logits(qkv)
    want = plain(e)
    for b, h, i in edited_rows():
        new = e[b, h, i].copy()
        for j in range(TOTAL):
            size = abs(new[j]) if absolute else new[j]
            if j in IMAGE[b]:
                new[j] += 0.5 * size
            elif PADS[b] <= j < IMAGE[b, 0]:
                new[j] -= 0.2 * size
        want[b, h, i] = softmax(new, sees(b, i))
    check(through(edit, qkv)[0], outputs(want, qkv))


def test_paint_edits_by_its_equation(qkv):
    boost = np.array([[0.7, 0, 0.3, 0, 0], [0, 0, 0, 0.7, 0.7]])
    e = logits(qkv)
    want = plain(e)
    for b, h, i in edited_rows(only_last=True):
        new = e[b, h, i].copy()
        new[IMAGE[b]] += boost[b] * abs(new[IMAGE[b]])
        want[b, h, i] = softmax(new, sees(b, i))
    edit = PAINTEdit(request(), torch.from_numpy(boost))
    check(through(edit, qkv)[0], outputs(want, qkv))


def test_tame_edits_by_its_equation(qkv):
    edit = TAMEEdit(request(gamma=0.8))
    query, key = (x.double().numpy() for x in qkv[:2])
    e = logits(qkv)
    want = np.zeros_like(e)
    for b, h, i in np.ndindex(B, H, TOTAL):
        if i < PADS[b]:
            continue
        queries = range(PADS[b], PROMPT) if i < PROMPT else [i]
        keys = range(PADS[b], max(PROMPT, i + 1))
        of_query = np.mean([np.trace(query[b, n, queries] @ query[b, n, queries].T)
                            for n in range(H)])  # fmt: skip
        of_key = np.mean([np.trace(key[b, n, keys] @ key[b, n, keys].T) for n in range(GROUPS)])
        factor = (1 + 0.8 / np.log(of_query)) * (1 + 0.8 / np.log(of_key))
        want[b, h, i] = softmax(factor * e[b, h, i], sees(b, i))
    check(through(edit, qkv)[0], outputs(want, qkv))


def test_a_small_trace_does_not_turn_tame_around(qkv):
    edit = TAMEEdit(request(gamma=0.8))
    small = 1e-3 * qkv[0]
    assert torch.allclose(edit.query(small, 1e-3 * qkv[1], 0), small * 1.8**2, rtol=1e-4)


def test_sparc_counts_and_scales_values(qkv):
    edit = SPARCEdit(request(alpha=1.3, tau=0.4, beta=0.2, depth=0), watched=0)
    a = plain(logits(qkv))
    want = a.copy()
    for b in range(B):
        usual, count = a[b, :, PROMPT - 1][:, IMAGE[b]].mean(0), np.zeros(IMAGE.shape[1])
        for i in range(PROMPT, TOTAL):
            want[b, :, i, IMAGE[b]] *= (1.3**count)[:, None]
            seen = a[b, :, i][:, IMAGE[b]].mean(0)
            count += (seen - usual) / usual >= 0.4
            usual = 0.8 * seen + 0.2 * usual
    assert not np.allclose(want[:, :, -1], a[:, :, -1])
    got, recorded = through(edit, qkv, edit.step)
    check(got, outputs(want, qkv))
    shares = want[:, :, -1] / np.maximum(want[:, :, -1].sum(-1, keepdims=True), 1)
    assert np.allclose(recorded[-1].numpy(), shares, atol=1e-5)


@pytest.mark.parametrize("strength", [0.5, 1])
def test_cmai_edits_by_its_equation(qkv, strength):
    edit = CMAIEdit(request(strength=strength, threshold=0.9))
    a = plain(logits(qkv))
    want, low = a.copy(), []
    for b, h, i in edited_rows():
        mean = a[b].mean(0)
        text = range(AFTER[b], i + 1)
        focus = np.array([sum(mean[i, k] * mean[k, j] for k in text) for j in IMAGE[b]])
        is_low = focus < 0.9 * focus.mean()
        low += list(is_low)
        want[b, h, i, IMAGE[b][is_low]] *= 1 - strength
        want[b, h, i] /= want[b, h, i].sum()
    assert 0 < sum(low) < len(low)
    check(through(edit, qkv)[0], outputs(want, qkv))


def test_vhr_scales_the_same_heads_in_prompt_and_answer(qkv):
    a = plain(logits(qkv))
    out = outputs(a, qkv)
    generator = torch.Generator().manual_seed(1)
    without = torch.randn((B, H, D), generator=generator)
    edit = VHREdit(request(alpha=2), without)
    divergence = np.linalg.norm(out[:, PROMPT - 1] - without.numpy(), axis=-1)
    assert [np.sum(d > np.median(d)) for d in divergence] == [2, 2]
    factor = np.where(divergence > np.median(divergence, 1, keepdims=True), 2, 1)
    check(through(edit, qkv)[0], out * factor[:, None, :, None])


def test_a_head_that_reacts_to_the_absence_of_the_image_does_not_count():
    without = torch.ones(1, 6, D)
    without[0, 0] = 50
    with_image = torch.ones(1, 6, D) + torch.arange(6)[:, None]
    heads = vision_heads(with_image, without)[0]
    assert not heads[0]
    assert heads.tolist() == [False, False, False, True, True, True]
