"""Tiny models of three families with an adapter, and ways to ask them."""

from functools import cache

import numpy as np
from PIL import Image

from vif import methods
from vif.check.models import tiny_adapter, tiny_backbone
from vif.model.batch import Batch
from vif.question import Question
from vif.session import Session

FAMILIES = ("llava", "llava_next", "qwen2_5_vl")
QUESTION, LONGER = "what colour is the star ?", "is there a red heart in the picture ?"
BOX, PLACE = [(0.1, 0.1, 0.4, 0.5)], [(0.5, 0.4, 0.9, 0.8)]


@cache
def session_of(family):
    """One session per family and test run; no test changes it."""
    return Session(tiny_backbone(family), tiny_adapter())


def noise(seed=0, size=(80, 64)):
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def ask(session, names, question=QUESTION, **settings):
    given = {"boxes": BOX, "look": PLACE, "max_new_tokens": 3} | settings
    return session.ask(noise(), question, names, **given)


def one(session, name, **settings):
    return ask(session, [name], **settings)[name]


def request_of(session, options=None, questions=(QUESTION,), **given):
    backbone = session.backbone
    prompts = [backbone.encode(noise(i), text) for i, text in enumerate(questions)]
    return methods.Request(
        Batch.make(backbone, prompts),
        session.defaults,
        backbone,
        session.adapter,
        images=[noise(i) for i in range(len(questions))],
        options=options or {},
        **given,
    )


def together_and_alone(session, name, **settings):
    """The traces of a left-padded batch, and of the same questions one by one."""
    looks = [PLACE, [(0.0, 0.0, 0.3, 0.3)]]
    items = [
        Question(noise(i), text, "", BOX, look)
        for i, (text, look) in enumerate(zip((QUESTION, LONGER), looks, strict=True))
    ]
    batch = session.ask_batch(items, [name], settings_of(session, **settings))[name]
    alone = [
        session.ask_batch([item], [name], settings_of(session, **settings))[name][0]
        for item in items
    ]
    return zip(batch, alone, strict=True)


def settings_of(session, **settings):
    return session.defaults.changed(**{"max_new_tokens": 3} | settings)


def passes(session, name, **settings):
    """Lengths of all passes of the decoder that a method makes."""
    lengths = []
    handle = session.backbone.model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    try:
        one(session, name, **settings)
    finally:
        handle.remove()
    return lengths
