"""On a ZeroGPU Space models run in decorated functions only: every event is tried."""

import importlib
import inspect
import types
from pathlib import Path

import gradio as gr
import pytest
from gradio.helpers import special_args
from gradio.renderable import Renderable

import vif
from vif.errors import InputError
from vif.model.generation import Cancelled
from vif.ui import build_demo
from vif.ui.features.reopen import Reopen
from vif.ui.guard import MODEL
from vif.ui.state.drawing import Drawing
from vif.ui.state.result import Result
from vif.ui.wiring import Wiring

ROOT = Path(__file__).parents[3]
PICTURE = str(ROOT / "assets" / "examples" / "scene-1.png")
QUESTION = "What color is the star?"
# Not the strength of the recorded answers, which no model is asked for.
ALPHA = 0.31
# One that asks the model.
LESSON = 3


@pytest.fixture(scope="module")
def space():
    """The page with the bundled model, imported where there is a `spaces`.

    Its model stops at its first pass, and notes whether that was in a decorated function.
    """
    found = types.SimpleNamespace(depth=0, calls=0, inside=[], durations=[])

    def gpu(duration):
        def decorate(task):
            found.durations.append(duration)

            def run(*args, **kwargs):
                found.depth += 1
                found.calls += 1
                try:
                    return task(*args, **kwargs)
                finally:
                    found.depth -= 1

            return run

        return decorate

    module = types.ModuleType("spaces")
    module.GPU = gpu
    zero = importlib.import_module("vif.ui.zero")
    zero.spaces = module

    def first_pass(*_):
        found.inside.append(found.depth > 0)
        raise Cancelled

    session = vif.load()
    found.demo = build_demo(session, assets=ROOT / "assets", models=[("a/b", "")])
    # Before the hooks of the turns: nothing is to be given back.
    session.backbone.model.register_forward_pre_hook(first_pass, prepend=True)
    for part in session.backbone.model.base_model.children():
        part.register_forward_pre_hook(first_pass, prepend=True)
    yield found
    zero.spaces = None


def wiring_of(demo):
    owners = (getattr(fn.fn, "__self__", None) for fn in demo.fns.values())
    return next(owner for owner in owners if isinstance(owner, Wiring))


def opened_of(wiring):
    """The answers that the page opens with, as if they had just been computed."""
    result = wiring.result.value
    assert isinstance(result, Result)
    return result


def clicked(result):
    """Event data that fits every element: an index, and a changed mixture."""
    name, mixtures = next(iter(result.injecting.items()))
    mixture = mixtures[0]
    return {
        "index": 0, "answer": name, "layer": mixture.layer, "means": mixture.means.tolist(),
        "sigmas": mixture.sigmas.tolist(), "weights": mixture.weights.tolist(), "muted": [1],
        "touched": [], "solo": None, "box": [0.1, 0.1, 0.4, 0.4],
        "x": 0.5, "y": 0.5,
    }  # fmt: skip


def values_of(fn, wiring, number):
    """Something sensible for every input of an event; `number` for a first state without value."""
    given = {
        wiring.example: 0, wiring.field("image"): PICTURE, wiring.field("question"): QUESTION,
        wiring.field("alpha"): ALPHA, wiring.key: None,
        wiring.drawing: Drawing(boxes=((0.1, 0.1, 0.4, 0.4),)),
    }  # fmt: skip
    if isinstance(owner := getattr(fn.fn, "__self__", None), Reopen):
        given[owner.linked] = {}  # a link that asks for no view of its own
    values = {}
    for component in fn.inputs:
        value = given.get(component, getattr(component, "value", None))
        if component not in given and isinstance(component, gr.State) and value is False:
            value = True  # what an event before it found
        elif component is fn.inputs[0] and isinstance(component, gr.State) and value is None:
            value = number
        elif component not in given and isinstance(component, gr.Image | gr.UploadButton):
            value = PICTURE
        elif component not in given and getattr(component, "label", "") == "question":
            value = QUESTION
        values[component] = value
    return values


def carry_out(fn, wiring, number=None):
    """Runs an event to its end; a refusal or a stop is an end too."""
    values = values_of(fn, wiring, number)
    given = [values] if fn.inputs_as_dict else list(values.values())
    data = gr.EventData(None, clicked(opened_of(wiring)))
    given, *_ = special_args(fn.fn, given, None, data)
    try:
        found = fn.fn(*given)
        if inspect.isgenerator(found):
            for _ in zip(found, range(50), strict=False):
                pass
    except (Cancelled, InputError, gr.Error):
        pass


def events_of(demo):
    """The functions of the page, except those that draw a part of it again."""
    found = (fn for fn in demo.fns.values() if fn.fn is not None)
    return [fn for fn in found if not isinstance(getattr(fn.fn, "__self__", None), Renderable)]


def test_every_event_that_runs_the_model_calls_a_decorated_function(space):
    wiring = wiring_of(space.demo)
    tried = [fn for fn in events_of(space.demo) if fn.concurrency_id == MODEL]
    assert len(tried) >= 12
    for fn in tried:
        space.inside.clear()
        before = space.calls
        carry_out(fn, wiring)
        if not space.inside:
            carry_out(fn, wiring, LESSON)
        assert space.inside, f"{fn.name} did not run the model: give it what it needs here"
        assert all(space.inside), f"{fn.name} ran the model outside of a decorated function"
        assert space.calls > before


def test_no_other_event_runs_the_model(space):
    wiring = wiring_of(space.demo)
    space.inside.clear()
    for fn in events_of(space.demo):
        if fn.concurrency_id != MODEL:
            carry_out(fn, wiring)
            assert not space.inside, f"{fn.name} runs the model, and is not told to wait for it"


def test_a_call_may_take_as_long_as_a_request(space):
    assert space.durations == [round(space.demo.turns.seconds)]
