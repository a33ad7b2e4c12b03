"""A view as a URL and back, as a command and as Python."""

import ast
import shlex

import pytest

from vif.__main__ import build_parser
from vif.errors import InputError
from vif.settings import Settings
from vif.ui.sharing import permalink
from vif.ui.sharing.permalink import Link
from vif.ui.sharing.recipe import Recipe
from vif.ui.state.view import View

DEFAULTS = Settings()
FULL = Link(
    model="demo-vlm",
    scene=12,
    question='Was heißt "x & y"? # 100 %',
    text=192,
    methods=("plain", "pai", "look"),
    settings={
        "learning": (1, 2),
        "injection": (4, 6),
        "stride": 2,
        "alpha": 0.25,
        "samples": 3,
        "seed": 7,
        "max_new_tokens": 5,
        "phase": "prefill",
        "options": {"pai": {"alpha": 0.3}},
    },
    look=((0.1, 0.2, 0.5, 0.75),),
    view={"layer": 5, "head": 2, "normalised": True, "opacity": 0.4},
)


def read(query, **page):
    known = {"model": "demo-vlm", "defaults": DEFAULTS, "num_layers": 8, "num_examples": 6}
    return permalink.read(query, **(known | page))


@pytest.mark.parametrize(
    "link",
    [FULL, Link("demo-vlm", example=0), Link("demo-vlm", example=5, context="Own words.\nTwo.")],
)
def test_a_link_says_everything_again(link):
    assert read(link.query()) == link


def test_a_link_holds_only_what_differs():
    assert Link("demo-vlm", example=2).query() == "model=demo-vlm&example=2&methods=plain+vif"
    assert permalink.view_changes(View()) == {}
    assert permalink.view_changes(View(layer=3)) == {"layer": 3}
    changed = Settings(alpha=0.1)
    assert permalink.setting_changes(changed, DEFAULTS) == {"alpha": 0.1}


def test_keys_of_others_are_left_alone():
    assert read("example=1&__theme=dark&lesson=3") == Link("demo-vlm", example=1)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("model=other&example=1", "made with the model 'other', but this page shows 'demo-vlm'"),
        ("example=6", "example is '6': expected a whole number from 0 to 5"),
        ("example=-1", "whole number"),
        ("example=1&scene=2", "and not both"),
        ("q=What", "must name an example or a scene"),
        ("scene=1e3", "whole number"),
        ("scene=" + "9" * 5000, "whole number"),
        ("scene=²", "whole number"),
        ("scene=1&text=99999", "from 0 to 2000"),
        ("scene=1&alpha=much", "alpha is 'much'"),
        ("scene=1&alpha=nan", "Alpha"),
        ("scene=1&alpha=7", "Alpha is 7"),
        ("scene=1&learning=4", "two layers"),
        ("scene=1&learning=4-99", "layers 0 to 7"),
        ("scene=1&injection=0-3", "must end before"),
        ("scene=1&stride=0", "stride is 0"),
        ("scene=1&phase=never", "Phase"),
        ("scene=1&methods=magic", "Unknown method 'magic'"),
        ("scene=1&methods=", "No method"),
        ("scene=1&methods=" + "plain+" * 9, "at most"),
        ("scene=1&methods=pai&set=pai.alpha=99", "pai.alpha"),
        ("scene=1&methods=pai&set=pai.nothing=1", "no setting 'nothing'"),
        ("scene=1&methods=pai&set=pai", "method.setting=number"),
        ("scene=1&look=1+2", "look"),
        ("scene=1&look=0+0+2+1", "A box"),
        ("scene=1&" + "look=0+0+1+1&" * 40, "at most 20"),
        ("scene=1&view.layer=31", "layers 0 to 7"),
        ("scene=1&view.layer=[[", "view.layer"),
        ("scene=1&view.layer={}", "view.layer"),
        ("scene=1&view.layer=" + "[" * 3000, "view.layer"),
        ("scene=1&q=" + "x" * 9000, "at most 8000"),
        ("scene=1&" + "&".join(f"a{i}=1" for i in range(300)), "parameters"),
    ],
)
def test_a_wrong_link_gives_one_sentence(query, words):
    with pytest.raises(InputError, match=words) as caught:
        read(query)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_a_link_cannot_hold_is_reported():
    with pytest.raises(InputError, match="save the zip"):
        Link("demo-vlm", question="What?").query()
    with pytest.raises(InputError, match="shorten the text"):
        Link("demo-vlm", scene=1, context="word " * 5000).query()


def test_the_command_is_read_by_the_command_line():
    words = shlex.split(Recipe(FULL, "some text\nbefore").command())
    assert words[:3] == ["python", "-m", "vif"]
    args = build_parser().parse_args(words[3:])
    assert (args.scene, args.query, args.context) == (12, FULL.question, "some text\nbefore")
    assert args.methods == ["plain", "pai", "look"]
    assert (args.latent_learning_start, args.latent_apply_end) == (1, 6)
    assert (args.latent_layer_stride, args.latent_bias_alpha) == (2, 0.25)
    assert (args.seed, args.max_new_tokens, args.phase) == (7, 5, "prefill")
    assert args.options == ["pai.alpha=0.3"]
    assert args.box == [[0.1, 0.2, 0.5, 0.75]]


def test_an_own_picture_is_named_as_in_the_zip():
    link = Link("org/model", question="What?", methods=("oracle",))
    words = shlex.split(Recipe(link, boxes=[(0, 0, 1, 1)]).command())
    args = build_parser().parse_args(words[3:])
    assert (args.image_file, args.model_path) == ("picture.png", "org/model")
    assert args.box == [[0, 0, 1, 1]]


def test_python_runs_and_asks_the_same(monkeypatch):
    asked = {}

    class Session:
        def ask(self, image, question, **more):
            asked.update(image=image, question=question, **more)
            return {}

    monkeypatch.setattr("vif.load", lambda *names, **more: Session())
    code = Recipe(FULL, "before").python()
    ast.parse(code)
    exec(compile(code, "recipe", "exec"), {})
    assert asked["image"].size == (192, 192)
    assert (asked["question"], asked["context"]) == (FULL.question, "before")
    assert asked["methods"] == list(FULL.methods)
    assert asked["look"] == [FULL.look[0]]
    for name, value in FULL.settings.items():
        assert asked[name] == value
