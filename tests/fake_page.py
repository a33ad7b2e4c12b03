"""What a person fills in and clicks, for tests of the page."""

import dataclasses
import threading
from types import SimpleNamespace

from PIL import Image

from tests.fake_session import FakeSession
from vif.ui.actions import handlers
from vif.ui.state.drawing import Drawing
from vif.ui.state.form import Form

PICTURE = Image.new("RGB", (128, 96), (90, 120, 90))
QUESTION = "What colour is the star?"
# Layer, all layers, head, normalised, palette, opacity, scale, what is shown: the controls' order.
VIEW = (7, False, "mean", False, "viridis", 0.6, "whole", "raw")


def form(**changes):
    values = {
        "image": PICTURE, "question": QUESTION, "context": "", "chosen": ["plain", "vif"],
        "learning_start": 3, "learning_end": 4, "injection_start": 5, "injection_end": 7,
        "stride": 1, "alpha": 0.5, "samples": 0, "seed": 0, "max_new_tokens": 32,
    }  # fmt: skip
    return Form(**(values | changes))


def ask(session=None, truths=(), **changes):
    cancel = threading.Event()
    return handlers.answer(session or FakeSession(), form(**changes), list(truths), cancel)


def clicked(index, **more):
    return SimpleNamespace(_data={"index": index, **more})


def run_of(wiring, key=None, **changes):
    filled = form(**changes)
    fields = [getattr(filled, f.name) for f in dataclasses.fields(filled)][:-2]
    own = [slider.value for slider in wiring.controls.own.sliders]
    return wiring.run(key, [], Drawing(), *fields, *own, *VIEW, 6)
