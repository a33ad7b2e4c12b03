"""A session without a model: deterministic, plausible traces for tests of the page.

Eight layers, four heads, 12 x 12 image tokens. Attention on the image falls with depth and with
the length of the context; VIF lifts it in the injection layers and moves it to one object.
"""

from __future__ import annotations

import threading
import time
import zlib
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from vif.errors import InputError
from vif.model.families import Layout, grid_cells
from vif.model.families.layout import Block, make_layout
from vif.model.generation import Cancelled
from vif.question import Question
from vif.settings import Settings
from vif.trace import Mixture, Trace

LAYERS, HEADS, SIDE, COMPONENTS = 8, 4, 12, 8
BREAKING = "break"
COLOURS = ("red", "blue", "green", "yellow")


@dataclass(frozen=True)
class FakeConfig:
    learning: tuple[int, int] = (3, 4)
    injection: tuple[int, int] = (5, 7)
    stride: int = 1
    alpha: float = 0.5
    trained_on: str = ""
    num_components: int = COMPONENTS


@dataclass(frozen=True)
class FakeAdapter:
    config: FakeConfig = FakeConfig()


def whole_layout() -> Layout:
    """One grid that sees the whole image."""
    parts = [(Block("whole", "whole image", SIDE, SIDE), grid_cells(SIDE, SIDE))]
    return make_layout(parts, SIDE**2, "fake")


def tiled_layout() -> Layout:
    """Crop, line ends, padding and two scales in 144 tokens; the left tenth is never seen.

    A square look at what the crop keeps, and two tiles of 6 x 9 whose upper halves hold padding:
    their first row lies above the image.
    """
    whole = grid_cells(6, 6, (0.1, 0.0, 1.0, 1.0))
    parts = [(Block("whole", "whole image", 6, 6, (0.1, 0.0, 1.0, 1.0)), whole)]
    for i, (left, right) in enumerate(((0.1, 0.55), (0.55, 1.0)), start=1):
        cells = grid_cells(6, 8, (left, -0.2, right, 1.0)).reshape(6, 8, 4)
        cells = np.concatenate([cells, np.full((6, 1, 4), np.nan)], 1).reshape(-1, 4)
        parts.append((Block("tile", f"tile {i} of 2", 6, 8, (left, 0.0, right, 1.0)), cells))
    return make_layout(parts, SIDE**2, "fake")


class FakeSession:
    """The public interface of a session, in NumPy only."""

    name = "fake-vlm"
    num_layers = LAYERS
    # A vision tower without a CLS token, as the bundled model's.
    backbone = SimpleNamespace(name="fake-vlm", model=None)

    def __init__(
        self,
        adapter: bool = True,
        delay: float = 0.0,
        answers: dict | None = None,
        layout: Layout | None = None,
    ):
        self.layout = layout or whole_layout()
        self.adapter = FakeAdapter() if adapter else None
        self.defaults = Settings()
        self.delay = delay
        self.answers = answers or {}
        self.calls: list[dict] = []

    def token_count(self, text: str) -> int:
        return len(text.split())

    def ask(
        self,
        question,
        text: str = "",
        methods=("plain", "vif"),
        *,
        context: str = "",
        boxes=None,
        look=None,
        others=(),
        settings: Settings | None = None,
        cancel: threading.Event | None = None,
        **changes,
    ) -> dict[str, Trace]:
        if not isinstance(question, Question):
            question = Question(question, text, context, boxes, look)
        text, context = question.text, question.context
        settings = (settings or self.defaults).changed(**changes)
        place = {"boxes": question.boxes, "look": question.look}
        call = {"question": text, "context": context, "methods": list(methods)}
        self.calls.append(call | place | {"options": settings.options})
        if text == BREAKING:
            raise RuntimeError("The fake model was asked to break.")
        if not text.strip():
            raise InputError("Type a question first.")
        settings.check(LAYERS)
        if "vif" in methods and self.adapter is None:
            raise InputError("No VIF adapter is loaded.")
        deadline = time.monotonic() + self.delay
        while time.monotonic() < deadline and not (cancel and cancel.is_set()):
            time.sleep(0.02)
        if cancel and cancel.is_set():
            raise Cancelled
        meta = {
            "model": self.name,
            "dtype": "float32",
            "question": text,
            "context": context,
            "learning": list(settings.learning),
            "injection": list(settings.injection),
            "alpha": settings.alpha,
            "seed": settings.seed,
            "seconds": 0.21,
            "prompt_tokens": 144 + self.token_count(context),
            "stride": settings.stride,
            "max_new_tokens": settings.max_new_tokens,
            "layout": self.layout.describe(),
        }
        return {m: self._trace(m, text, context, settings.samples, dict(meta)) for m in methods}

    def _trace(self, method, question, context, samples, meta) -> Trace:
        # crc32, not hash(): the latter changes from one process to the next.
        rng = np.random.default_rng(zlib.crc32(question.encode()))
        target = rng.uniform(0.2, 0.8, 2)
        words = self.token_count(context)
        lost = min(1.0, words / 200)
        right = self.answers.get(question, COLOURS[rng.integers(4)])
        wrong = COLOURS[(COLOURS.index(right) + 1) % 4] if right in COLOURS else "none"
        word = wrong if method == "plain" and words > 40 else right
        tokens = [word, " ", "one", "</s>"][:: 1 if len(question) % 2 else 3]
        sure = 0.93 if method != "plain" else 0.9 - 0.5 * lost
        mixtures = []
        low, high = meta["injection"]
        if method != "plain":
            layers = range(low, high + 1, meta["stride"])
            mixtures = [self._mixture(layer, target, samples, meta) for layer in layers]
        rows, mass = self._rows(rng, target, lost, len(tokens), mixtures)
        probabilities = np.array([sure] + [0.99] * (len(tokens) - 1))
        others = [(c, (1 - sure) / 3) for c in COLOURS if c != word][:3]
        return Trace(
            method=method,
            answer="".join(tokens[:-1]).strip(),
            tokens=tokens,
            logprobs=np.log(probabilities),
            rows=rows,
            mass=mass,
            centres=self.layout.centres,
            cells=self.layout.cells,
            blocks=self.layout.blocks,
            mixtures=mixtures,
            alternatives=[
                [(t, float(p)), *others] for t, p in zip(tokens, probabilities, strict=True)
            ],
            meta=meta,
        )

    def _mixture(self, layer, target, samples, meta) -> Mixture:
        rng = np.random.default_rng(layer)
        weights = np.sort(rng.dirichlet(np.full(COMPONENTS, 0.5)))[::-1]
        means = np.clip(target + rng.normal(0, 0.22, (COMPONENTS, 2)), 0.02, 0.98)
        means[0] = target
        sigmas = rng.uniform(0.04, 0.14, COMPONENTS)
        density = (weights[:, None] * _bumps(means, sigmas)).sum(0)
        return Mixture(
            layer=layer,
            source=meta["learning"][0],
            means=means,
            sigmas=sigmas,
            weights=weights,
            map=density / density.sum(),
            strength=np.clip(meta["alpha"] * rng.uniform(0.6, 1.1, HEADS), 0, 1),
            spread=density / density.sum() * (0.2 if samples else 0.0),
        )

    def _rows(self, rng, target, lost, count, mixtures):
        rows = np.zeros((count, LAYERS, HEADS, SIDE * SIDE), np.float32)
        focus = _bumps(target[None], np.array([0.09]))[0]
        focus = focus / focus.sum()
        for layer in range(LAYERS):
            depth = layer / (LAYERS - 1)
            share = (0.95 - 0.2 * depth) * (1 - 0.6 * lost * (0.3 + 0.7 * depth))
            pointed = 0.6 * (1 - 0.7 * depth) * (1 - 0.5 * lost)
            noise = rng.dirichlet(np.full(SIDE * SIDE, 0.3), (count, HEADS))
            rows[:, layer] = share * (pointed * focus + (1 - pointed) * noise)
        for mixture in mixtures:
            strength = mixture.strength[None, :, None]
            rows[:, mixture.layer] *= 1 - strength
            rows[:, mixture.layer] += strength * mixture.map
        image = rows.sum(-1)
        rest = 1 - image
        mass = np.stack([image, rest * 0.3, rest * 0.05, rest * 0.65, rest * 0], -1)
        return rows, mass


def _bumps(means, sigmas):
    """Unnormalised Gaussians on the token grid, (K, N)."""
    axis = (np.arange(SIDE) + 0.5) / SIDE
    x, y = np.meshgrid(axis, axis)
    points = np.stack([x, y], -1).reshape(1, -1, 2)
    squared = ((points - means[:, None]) ** 2).sum(-1)
    return np.exp(-squared / (2 * sigmas[:, None] ** 2))
