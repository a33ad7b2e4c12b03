"""The form, clicks and events of the page, for its tests."""

import threading
from types import SimpleNamespace

import gradio as gr
from PIL import Image

from tests.support.fake_session import FakeSession
from vif.ui.actions.ask import answer
from vif.ui.panels.answers import build_answers
from vif.ui.panels.controls import build_controls
from vif.ui.state.form import Form
from vif.ui.wiring import Wiring

PICTURE = Image.new("RGB", (128, 96), (90, 120, 90))
QUESTION = "What colour is the star?"


def form(**changes):
    values = {
        "image": PICTURE, "question": QUESTION, "context": "", "chosen": ["plain", "vif"],
        "learning_start": 3, "learning_end": 4, "injection_start": 5, "injection_end": 7,
        "stride": 1, "alpha": 0.5, "samples": 0, "seed": 0, "max_new_tokens": 32,
    }  # fmt: skip
    return Form(**(values | changes))


def ask(session=None, truths=(), **changes):
    return answer(session or FakeSession(), form(**changes), list(truths), threading.Event())


def clicked(index, **more):
    return SimpleNamespace(_data={"index": index, **more})


def sent(**data):
    """A Gradio event that carries the data of a browser."""
    return SimpleNamespace(_data=data)


def wiring_of(session=None, examples=()):
    """The page's components with their wiring; call it inside `gr.Blocks`."""
    session = session or FakeSession()
    controls = build_controls(session, list(examples))
    return Wiring(session, controls, build_answers(examples, None), examples, 60)


def wired(session=None, examples=()):
    with gr.Blocks():
        return wiring_of(session, examples)


def filled_in(wiring, key=None, truths=(), **changes):
    """Values by component, as Gradio hands them to a handler."""
    filled = form(**changes)
    data = {component: getattr(filled, name) for name, component in wiring.controls.fields.items()}
    data |= {slider: slider.value for slider in wiring.controls.own.sliders}
    return data | {
        wiring.key: key, wiring.truths: list(truths), wiring.drawing: filled.drawing,
    }  # fmt: skip


def run_of(wiring, key=None, truths=(), **changes):
    return wiring.run(filled_in(wiring, key, truths, **changes))
