"""Questions that fit two places: both exist, described alike, with different answers."""

import pytest

from vif.scenes import SPLITS, draw_scene
from vif.scenes.ambiguous import FAMILY, ask_ambiguous
from vif.scenes.export import ExportOptions, export_scenes
from vif.scenes.world import COLOURS


def pairs(split, number=80):
    for seed in range(number):
        scene = draw_scene(seed, split)
        for pair in ask_ambiguous(scene, seed, 3):
            yield scene, pair


@pytest.mark.parametrize("split", SPLITS)
def test_both_answers_fit_the_words_and_no_third_object_does(split):
    found = list(pairs(split))
    assert len(found) > 30
    for scene, (first, second) in found:
        assert first.text == second.text
        assert first.answer != second.answer
        assert first.family == second.family == FAMILY
        asks_colour = first.answer in COLOURS
        asked, named = ("colour", "shape") if asks_colour else ("shape", "colour")
        items = [
            next(o for o in scene.objects if scene.box(o) == one.boxes[0])
            for one in (first, second)
        ]
        assert [getattr(item, asked) for item in items] == [first.answer, second.answer]
        value = getattr(items[0], named)
        assert value in first.text.lower()
        assert sum(getattr(o, named) == value for o in scene.objects) == 2
        assert all(item in scene.objects for item in items)


def test_either_of_the_two_may_be_the_one_that_is_given():
    given = [first.boxes[0][0] < second.boxes[0][0] for _, (first, second) in pairs("test")]
    assert 0.3 < sum(given) / len(given) < 0.7


def test_the_same_seed_asks_the_same():
    scene = draw_scene(5, "train")
    assert ask_ambiguous(scene, 5, 4) == ask_ambiguous(scene, 5, 4)
    assert len(ask_ambiguous(scene, 5, 0)) == 0


def test_ambiguous_questions_follow_the_others_and_leave_them_unchanged(tmp_path):
    def exported(name, ambiguous):
        options = ExportOptions(questions=4, apart=True, ambiguous=ambiguous)
        return export_scenes(tmp_path / name, "train", 12, 100, options=options).read_text()

    without, with_them = exported("a", 0), exported("b", 1)
    kept = [line for line in with_them.splitlines() if f'"family": "{FAMILY}"' not in line]
    assert len(kept) < len(with_them.splitlines())
    assert [line.rstrip(",") for line in kept] == [
        line.rstrip(",") for line in without.splitlines()
    ]
