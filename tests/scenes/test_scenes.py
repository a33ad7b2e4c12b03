"""Scenes and their questions: reproducible, answerable, unambiguous, disjoint."""

import json
from collections import Counter

import numpy as np
import pytest

from vif.scenes import GROUP_OF, SPLITS, ask_scene, draw_scene, is_correct, unrelated_text
from vif.scenes.export import export_scenes
from vif.scenes.relations import neighbour
from vif.scenes.world import COLOURS, SHAPES, SIZES, allowed_combinations, combination_split

SEEDS = range(120)


def all_questions(split):
    for seed in SEEDS:
        scene = draw_scene(seed, split)
        for question in ask_scene(scene, seed, 40):
            yield scene, question


def test_same_seed_same_pixels_other_seed_other_scene():
    first, again, other = (np.asarray(draw_scene(s).image) for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_are_within_their_bounds(split):
    counts = Counter()
    for seed in SEEDS:
        scene = draw_scene(seed, split)
        counts[len(scene.objects)] += 1
        for item in scene.objects:
            x0, y0, x1, y1 = scene.box(item)
            assert 0 <= x0 < x1 <= 192
            assert 0 <= y0 < y1 <= 192
            low, high, _ = SIZES[item.size]
            assert low <= item.diameter <= high
    assert min(counts) >= 4
    assert max(counts) <= 14


def test_an_object_is_painted_where_its_box_says():
    for seed in range(12):
        scene = draw_scene(seed)
        pixels = np.asarray(scene.image).astype(int)
        for item in scene.objects:
            x0, y0, x1, y1 = scene.box(item)
            x0, y0, x1, y1 = int(x0), int(y0), int(np.ceil(x1)), int(np.ceil(y1))
            inside = pixels[y0:y1, x0:x1].reshape(-1, 3)
            distance = np.abs(inside - np.array(COLOURS[item.colour])).sum(1).min()
            assert distance < 200, (item, distance)


def test_splits_share_no_held_out_combination():
    for split in ("validation", "test"):
        held_out = {(c, s) for c in COLOURS for s in SHAPES if combination_split(c, s) == split}
        assert len(held_out) == 8
        assert not held_out & set(allowed_combinations("train"))
        for seed in SEEDS:
            shown = {(o.colour, o.shape) for o in draw_scene(seed, split).objects}
            assert shown & held_out, "every scene shows at least one"
    for seed in SEEDS:
        for item in draw_scene(seed, "train").objects:
            assert combination_split(item.colour, item.shape) == "train"


def test_seeds_of_different_splits_differ():
    images = [np.asarray(draw_scene(5, split).image) for split in SPLITS]
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[1], images[2])


def described(scene, text):
    """The objects that fit a question, by its words for colour, shape and size."""
    words = text.lower().replace("?", "").replace(".", "").replace(":", "").split()
    colour = [c for c in COLOURS if c in words]
    shape = [s for s in SHAPES if s in words]
    return [
        o
        for o in scene.objects
        if (not colour or o.colour in colour)
        and (not shape or o.shape in shape)
        and ("tiny" not in words or o.size == "tiny")
    ]


DIRECT = ("colour", "shape", "tiny", "glyph", "cell", "corner")


def test_every_family_has_one_answer_that_the_scene_proves():
    seen = Counter()
    for scene, question in all_questions("test"):
        seen[question.family] += 1
        found = described(scene, question.text)
        if question.family in DIRECT:
            assert len(found) == 1, question
            assert question.boxes == (scene.box(found[0]),)
            prove_direct(scene, question, found[0])
        elif question.family == "existence":
            assert (question.answer == "yes") == bool(found)
            assert len(question.boxes) == len(found)
        elif question.family == "counting":
            word = question.text.lower()
            objects = [
                o for o in scene.objects if o.colour in word or f"{o.shape}s" in word
                or (o.shape == "cross" and "crosses" in word)
            ]  # fmt: skip
            assert question.answer == str(len(objects))
        elif question.family == "odd":
            prove_odd(scene, question)
        else:
            assert len(found) == 1, question
            prove_relation(scene, question, found[0])
    assert set(seen) == set(GROUP_OF), "every family occurs"


def prove_direct(scene, question, item):
    text = question.text.lower()
    if question.family in ("colour", "tiny"):
        assert question.answer == item.colour
    elif question.family == "shape":
        assert question.answer == item.shape
    elif question.family == "glyph":
        assert question.answer == item.glyph.lower()
    elif question.family == "cell":
        assert question.answer == "abcd"[int(item.x * 4)] + str(int(item.y * 4) + 1)
    else:
        assert "corner" in text or "quarter" in text or "top left" in text
        side = "left" if item.x < 0.5 else "right"
        assert question.answer == f"{'top' if item.y < 0.5 else 'bottom'} {side}"


def prove_odd(scene, question):
    attribute = "shape" if question.answer in COLOURS else "colour"
    counts = Counter(getattr(o, attribute) for o in scene.objects)
    assert sorted(counts.values())[0] == 1
    assert len(counts) == 2
    rare = next(o for o in scene.objects if counts[getattr(o, attribute)] == 1)
    assert question.answer in (rare.colour, rare.shape)


def prove_relation(scene, question, item):
    """An independent search for the neighbour, by brute force over all objects."""
    relation = {"neighbour-cell": "nearest"}.get(question.family, question.family)
    signs = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
    ranked = []
    for other in scene.objects:
        dx, dy = other.x - item.x, other.y - item.y
        if relation != "nearest":
            ux, uy = signs[relation]
            along, across = dx * ux + dy * uy, abs(dx * uy) + abs(dy * ux)
            if along <= 0 or across > along:
                continue
        if other is not item:
            ranked.append((dx * dx + dy * dy, other))
    ranked.sort(key=lambda pair: pair[0])
    target = ranked[0][1]
    assert neighbour(scene, item, relation) is target
    assert question.boxes == (scene.box(target),)
    if len(ranked) > 1:
        assert ranked[1][0] > 1.5 * ranked[0][0], "the runner-up is clearly farther"
    if relation != question.family:
        assert question.answer == "abcd"[int(target.x * 4)] + str(int(target.y * 4) + 1)
    else:
        assert question.answer in (target.colour, target.shape)


def test_existence_is_balanced():
    answers = Counter(q.answer for _, q in all_questions("test") if q.family == "existence")
    assert 0.35 < answers["yes"] / sum(answers.values()) < 0.65


def test_unrelated_text_has_exactly_the_length_asked_for(session):
    for length in (0, 1, 32, 64, 128, 256, 384):
        text = unrelated_text(length, length)
        assert session.token_count(text) == length
    assert unrelated_text(1, 64) == unrelated_text(1, 64)
    assert unrelated_text(1, 64).endswith(".")


def test_nothing_of_this_world_is_unknown_to_the_tokenizer(session):
    tokenizer = session.backbone.processor.tokenizer
    for _, question in all_questions("validation"):
        for text in (question.text, question.answer):
            assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text
    assert tokenizer.unk_token_id not in tokenizer(unrelated_text(0, 2000))["input_ids"]


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [("Red", "red", True), ("red.", "red", True), (" top  left", "top left", True),
     ("dark red", "red", False), ("", "red", False)],
)  # fmt: skip
def test_answers_are_compared_up_to_case_and_spaces(answer, truth, right):
    assert is_correct(answer, truth) is right


def test_export_is_llava_format_and_deterministic(tmp_path):
    first, second = (export_scenes(tmp_path / n, "test", 3, text=5) for n in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    records = json.loads(first.read_text())
    assert len(records) == 3
    for record in records:
        assert (first.parent / record["image"]).is_file()
        turns = record["conversations"]
        assert turns[0]["value"].startswith("<image>\n")
        assert [t["from"] for t in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert len(record["questions"]) == len(turns) // 2


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="train, validation, test"):
        draw_scene(0, "dev")
