"""A loaded model that answers questions: load once, ask many times."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import Unpack

from vif import bundled
from vif import methods as registry
from vif.adapter import VIFAdapter
from vif.adapter.fit import check_fit
from vif.check.proof import load_proved
from vif.draw.render import shrink
from vif.errors import InputError
from vif.inputs.boxes import Box
from vif.inputs.images import ImageSource
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.model.prompt import Prompt
from vif.progress import Progress
from vif.question import Place, Question, place_weights
from vif.recording import run
from vif.settings import SettingChanges, Settings
from vif.trace import Trace
from vif.traces import Traces

# Of the picture that a trace keeps for notebooks, its longer side in pixels.
PICTURE_SIDE = 512


class Session:
    """One model, at most one adapter, any number of questions from any number of threads."""

    def __init__(self, backbone: Backbone, adapter: VIFAdapter | None = None) -> None:
        """Checks that the adapter belongs to the model.

        Raises:
            InputError: If it was made for another width, depth or number of heads.
        """
        self.backbone, self.adapter = backbone, adapter
        self._fingerprint = adapter.fingerprint if adapter is not None else None
        if adapter is not None:
            check_fit(adapter.config, backbone)
            adapter.to(backbone.device).eval().requires_grad_(False)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.backbone.name

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return self.backbone.num_layers

    @property
    def defaults(self) -> Settings:
        """The settings that the adapter was trained with; without one, fractions of the depth."""
        if self.adapter is not None:
            config = self.adapter.config
            return Settings(
                learning=config.learning,
                injection=config.injection,
                stride=config.stride,
                alpha=config.alpha,
                phase=config.phase,
            )
        # The published ranges, 11-17 and 25-31 of 32 layers, as fractions.
        depth = self.num_layers
        learning = (depth * 11 // 32, max(depth * 11 // 32, depth * 17 // 32))
        first = min(depth * 25 // 32, self.backbone.attention_layers[-1])
        return Settings(learning=learning, injection=(max(learning[1] + 1, first), depth - 1))

    def checked(self, settings: Settings) -> Settings:
        """Checks settings and fills in the layers of the model.

        Raises:
            InputError: If they make no sense for this model.
        """
        settings = replace(settings, attention_layers=self.backbone.layers_to_steer)
        settings.check(self.num_layers)
        return settings

    def token_count(self, text: str) -> int:
        """Number of tokens of a text."""
        return self.backbone.token_count(text)

    def ask(
        self,
        question: Question | ImageSource,
        text: str = "",
        methods: Sequence[str] = ("plain", "vif"),
        *,
        context: str = "",
        boxes: Sequence[Box] | None = None,
        look: Place | None = None,
        others: Sequence[ImageSource] = (),
        settings: Settings | None = None,
        cancel: threading.Event | None = None,
        **changes: Unpack[SettingChanges],
    ) -> Traces:
        """Answers a question by several methods on the same weights.

        Args:
            question: A `Question`, or only its image, with `text` and other parts given separately.
            text: What to ask; see `Question`, like `context`, `boxes` and `look`.
            methods: Names out of `vif.methods.names()`, or a map and an edit: ``"relative+cut"``.
            context: Unrelated text to put before the question.
            boxes: Where the answer is.
            look: Where to look.
            others: Other images, shown to the model after the image.
            settings: `defaults` if None.
            cancel: Set it to stop between two tokens.
            **changes: Settings to change, e.g. ``alpha=0.5``; None leaves a setting unchanged.

        Returns:
            One trace per method, in the order asked for: a dictionary that a notebook shows.

        Raises:
            InputError: If anything given cannot be used; the message says what and why.
            Cancelled: If `cancel` was set.
        """
        if not isinstance(question, Question):
            question = Question(question, text, context, boxes, look, others=others)
        elif text or context or boxes is not None or look is not None or others:
            raise InputError(
                "A Question was given together with parts of one: put the parts into the "
                "Question, for example with dataclasses.replace."
            )
        settings = (settings or self.defaults).changed(**changes)
        self.check(methods, settings)
        question = question.opened()
        found = self.ask_batch([question], methods, settings, cancel)
        return Traces.of(found, shrink(question.picture, PICTURE_SIDE))

    @torch.no_grad()
    def ask_batch(
        self,
        questions: Sequence[Question],
        methods: Sequence[str | registry.Method],
        settings: Settings | None = None,
        cancel: threading.Event | None = None,
    ) -> dict[str, list[Trace]]:
        """Answers several questions at once.

        Args:
            questions: About images with the same number of tokens.
            methods: Names of methods, or method objects that are not registered.
            settings: For all of them; `defaults` if None.
            cancel: Set it to stop between two tokens.

        Returns:
            A list of traces per method, in the order of `questions`.

        Raises:
            InputError: If anything given cannot be used; the message says what and why.
            Cancelled: If `cancel` was set.
        """
        settings = settings or self.defaults
        chosen = _find_methods(methods)
        request = self.request(questions, settings, cancel)
        batch = request.batch
        taps, before = {}, {}
        for method in chosen:
            started = time.perf_counter()
            options = method.resolve(settings.options.get(method.name, {}))
            taps[method.name] = method.tap(replace(request, options=options))
            # Some methods look at the image first; that is part of what their answer takes.
            before[method.name] = (time.perf_counter() - started) / len(batch)
        meta: dict[str, Any] = {
            "model": self.name,
            "dtype": str(self.backbone.model.dtype).removeprefix("torch."),
        }
        left_out = ("max_new_tokens", "attention_layers")
        meta |= {key: value for key, value in asdict(settings).items() if key not in left_out}
        meta["adapter"] = self._fingerprint
        found = {}
        for name, tap in taps.items():
            found[name] = run(self.backbone, tap, name, settings.max_new_tokens, meta, cancel)
            for trace in found[name]:
                trace.meta["seconds"] = round(trace.meta["seconds"] + before[name], 4)
        return found

    def encode(self, question: Question) -> Prompt:
        """Encodes an opened question for the model.

        Raises:
            InputError: If the model cannot answer this question.
        """
        given = question.picture, question.text, question.context
        return self.backbone.encode(*given, question.beside, question.place)

    def request(
        self,
        questions: Sequence[Question],
        settings: Settings,
        cancel: threading.Event | None = None,
    ) -> registry.Request:
        """Builds the request that methods receive, without their options; see `ask_batch`.

        Raises:
            InputError: If the settings make no sense or a question cannot be asked.
        """
        settings = self.checked(settings)
        opened = [question.opened() for question in questions]
        prompts = [self.encode(question) for question in opened]
        return registry.Request(
            batch=Batch.make(self.backbone, prompts),
            settings=settings,
            backbone=self.backbone,
            adapter=self.adapter,
            truth=self._weights(prompts, [question.boxes for question in opened]),
            look=self._weights(prompts, [question.look for question in opened]),
            images=[question.picture for question in opened],
            cancel=cancel,
        )

    def check(self, methods: Sequence[str | registry.Method], settings: Settings) -> None:
        """Checks methods and settings before any work is done.

        Raises:
            InputError: If a method is unknown, a setting makes no sense for this model, or one is
                given for a method that is not asked or that has none such.
        """
        self.checked(settings)
        asked = {method.name: method for method in _find_methods(methods)}
        for name, changed in settings.options.items():
            if name not in asked:
                raise InputError(
                    f"A setting was given for {name!r}, which is not among the requested "
                    f"methods: {', '.join(asked)}."
                )
            asked[name].resolve(changed)

    def _weights(
        self, prompts: Sequence[Prompt], places: Sequence[Place | None]
    ) -> torch.Tensor | None:
        """Places as weights of image tokens, (B, N); None if none was given."""
        if all(place is None for place in places):
            return None
        found = [place_weights(p.layout.cells, q) for p, q in zip(prompts, places, strict=True)]
        return torch.from_numpy(np.stack(found)).float().to(self.backbone.device)


def _find_methods(chosen: Sequence[str | registry.Method]) -> list[registry.Method]:
    if not chosen:
        raise InputError("No method was chosen: expected at least one, for example 'plain'.")
    return [
        registry.find(name) if isinstance(name, str) else name for name in dict.fromkeys(chosen)
    ]


def load(
    name_or_folder: str | Path | None = None,
    adapter: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    quantization: str | None = None,
    image_aspect_ratio: str | None = None,
    progress: Progress | None = None,
) -> Session:
    """Loads a model and, if given, its adapter.

    Args:
        name_or_folder: Folder or Hub name of an image-text-to-text model; the bundled one, with its
            own adapter unless another is named, by default.
        adapter: Folder or Hub name of a VIF adapter.
        device: E.g. ``"cpu"`` or ``"cuda"``; a GPU if there is one by default.
        dtype: E.g. ``"bfloat16"``; float32 on a CPU by default.
        quantization: None, ``"8bit"`` or ``"4bit"``, which need bitsandbytes.
        image_aspect_ratio: ``"pad"`` or ``"crop"`` for models that look at one square (LLaVA-1.5);
            the processor's own way by default.
        progress: Called during a download with (bytes received, total bytes); by default the
            terminal shows progress bars.

    Raises:
        InputError: If either cannot be loaded or they do not fit together.
    """
    if name_or_folder is None:
        name_or_folder = bundled.path(bundled.MODEL)
        adapter = bundled.path(bundled.ADAPTER) if adapter is None else adapter
    found = VIFAdapter.from_pretrained(adapter) if adapter is not None else None
    backbone = load_proved(
        name_or_folder,
        device=device,
        dtype=dtype,
        quantization=quantization,
        image_aspect_ratio=image_aspect_ratio,
        progress=progress,
    )
    return Session(backbone, found)
