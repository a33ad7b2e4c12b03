"""The store of evidence: written, resumed, shared, refused; useless records are counted."""

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_adapter
from tests.training.test_families import items_of
from training.adapter import teacher as teacher_module
from training.adapter.evidence import Gradients
from training.adapter.model import VIFModel
from training.adapter.teacher import Evidence, EvidenceKey, EvidenceStore, Teacher
from training.data.batches import Collator
from vif.check.models import tiny_backbone
from vif.errors import InputError

ASKING = EvidenceKey("tiny", "a.json, 9 bytes", 16, (2, 5), 0.8)


def found(seed, places=6):
    scores = np.random.default_rng(seed).normal(size=places).astype(np.float16)
    return Evidence(scores.astype(np.float32), 0.5, -1.25)


def same(one, other):
    return np.array_equal(one.scores, other.scores) and one[1:] == other[1:]


def test_a_store_gives_back_what_it_was_given_also_when_opened_again(tmp_path):
    given = {3: found(3), 4096 * 7 + 1: found(4, places=9), 5: Evidence(None, 0.0, 0.0)}
    store = EvidenceStore(tmp_path, ASKING)
    store.add({3: given[3]})
    store.add({key: given[key] for key in (4096 * 7 + 1, 5)})
    for opened in (store, EvidenceStore(tmp_path, ASKING)):
        assert len(opened) == 3
        assert same(opened.get(3), given[3])
        assert same(opened.get(4096 * 7 + 1), given[4096 * 7 + 1])
        assert opened.get(5).scores is None


def test_what_was_cut_off_is_asked_again(tmp_path):
    store = EvidenceStore(tmp_path, ASKING)
    store.add({1: found(1), 2: found(2)})
    path = tmp_path / "evidence-0.bin"
    path.write_bytes(path.read_bytes()[:-3])
    again = EvidenceStore(tmp_path, ASKING)
    assert 1 in again
    assert 2 not in again
    again.add({2: found(2), 8: found(8)})
    last = EvidenceStore(tmp_path, ASKING)
    assert all(same(last.get(key), found(key)) for key in (1, 2, 8))


def test_processes_find_what_others_asked(tmp_path):
    one, other = EvidenceStore(tmp_path, ASKING, 0), EvidenceStore(tmp_path, ASKING, 1)
    one.add({1: found(1)})
    other.add({2: found(2)})
    one.refresh()
    other.refresh()
    assert same(one.get(2), found(2))
    assert same(other.get(1), found(1))


def test_a_store_of_another_model_is_refused_by_name(tmp_path):
    EvidenceStore(tmp_path, ASKING)
    with pytest.raises(InputError, match=r"backbone 'tiny' instead of 'other'.*--teacher_store"):
        EvidenceStore(tmp_path, EvidenceKey("other", *list(vars(ASKING).values())[1:]))


@pytest.fixture
def shard():
    backbone = tiny_backbone("llava")
    VIFModel(backbone, tiny_adapter())
    (made,) = Collator(whole=False)(items_of(backbone)[1])["shards"]
    return backbone.model, made


def test_every_question_is_asked_once(tmp_path, shard, monkeypatch):
    model, batch = shard
    first = Teacher(EvidenceStore(tmp_path, ASKING), [2, 3], 0.8)
    taught = first.teach(model, batch, whole=False)
    assert first.asked == 4
    assert taught.taught.all()
    assert torch.allclose(taught.evidence.mean(1), torch.zeros(4), atol=1e-2)

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(teacher_module, "gradients", refuse)
    again = Teacher(EvidenceStore(tmp_path, ASKING), [2, 3], 0.8).teach(model, batch, whole=False)
    assert torch.equal(again.evidence, taught.evidence)


def test_evidence_of_little_gain_counts_little(tmp_path, shard):
    model, batch = shard
    store = EvidenceStore(tmp_path, ASKING)
    full = Teacher(store, [2, 3], 0.8, sharpness=2.0, full_gain=1e-9).teach(model, batch, False)
    less = Teacher(store, [2, 3], 0.8, sharpness=2.0, full_gain=1e9).teach(model, batch, False)
    assert torch.allclose(full.evidence.std(1, correction=0), torch.full((4,), 2.0), atol=1e-2)
    assert less.evidence.abs().max() < 1e-6


@pytest.mark.parametrize(
    ("value", "reason"), [(float("nan"), "not finite"), (0.25, "the same everywhere")]
)
def test_broken_or_empty_evidence_is_skipped_counted_and_said(
    tmp_path, shard, monkeypatch, caplog, value, reason
):
    model, batch = shard

    def broken(*_):
        maps = torch.rand(4, batch.columns.shape[1])
        maps[1] = value
        return Gradients(maps, torch.zeros(4))

    monkeypatch.setattr(teacher_module, "gradients", broken)
    teacher = Teacher(EvidenceStore(tmp_path, ASKING), [2], 0.8)
    taught = teacher.teach(model, batch, whole=False)
    assert taught.taught.tolist() == [True, False, True, True]
    assert taught.evidence[1].abs().max() == 0
    assert sum(teacher.skipped.values()) == 1
    assert reason in caplog.text
