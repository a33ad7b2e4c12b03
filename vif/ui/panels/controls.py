"""The left column: picture, question, run, settings. Layout only, no events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from vif.session import Session
from vif.ui.actions.ask import is_bundled
from vif.ui.actions.fill import questions_of, scene, truths_about
from vif.ui.html.strips import plan_strip, suggestion_strip
from vif.ui.html.templates import fill
from vif.ui.panels import inputs
from vif.ui.panels.choice import OwnSettings, build_menu, build_own_settings
from vif.ui.panels.look import LookBox, build_look
from vif.ui.state.examples import PageExample
from vif.ui.state.form import MOST_BESIDE, Truth
from vif.ui.state.result import Result
from vif.ui.theme import html_block, script

MAX_TEXT_TOKENS = 384
FIRST_SCENE = 7
PLACE_LABEL, FRAME_LABEL = "The picture is number", "Frame of the video"


@dataclass(frozen=True)
class Controls:
    """The components of the left column.

    Attributes:
        fields: What a question is made of, by the names of `vif.ui.state.form.Form`.
        own: Settings of single methods.
        truths: Known answers of the first picture.
    """

    fields: dict[str, Any]
    draw: gr.Button
    suggestions: gr.HTML
    run: gr.Button
    stop: gr.Button
    message: gr.HTML
    text_length: gr.Slider
    context_note: gr.HTML
    look: LookBox
    settings: gr.Accordion
    own: OwnSettings
    plan: gr.HTML
    truths: list[Truth]


def build_controls(
    session: Session, examples: Sequence[PageExample], opened: Result | None = None
) -> Controls:
    """Builds the column, filled in already.

    Args:
        session: The model that is asked.
        examples: The first is in place, or a drawn scene where there are none.
        opened: Answers whose picture and question are in place instead.
    """
    picture, truths, asked = _first(examples, opened)
    truths, suggested = truths_about(picture, truths), questions_of(truths)
    image = inputs.Image(
        picture,
        type="filepath",
        label="Picture",
        alt_text="The picture of the question",
        format="png",
        sources=["upload", "clipboard"],
        height=212,
        buttons=[],
        elem_id="picture",
    )
    draw = gr.Button("Draw a new scene", size="sm", elem_id="draw")
    others = _beside()
    question = gr.Textbox(
        asked or suggested[0], label="Question", lines=1, max_lines=4, elem_id="question"
    )
    suggestions = html_block(
        suggestion_strip(suggested), js_on_load=script("pick.js"), elem_id="suggestions"
    )
    with gr.Column(elem_id="run-bar"):
        with gr.Row(elem_classes="vl-run"):
            run = gr.Button("Run", variant="primary", scale=3, elem_id="run")
            stop = gr.Button("Stop", interactive=False, scale=1, min_width=70, elem_id="stop")
        message = html_block(elem_id="message", elem_classes="vl-message")
    text_length, context_note, context = _text_box(examples)
    look = build_look(picture)
    with gr.Accordion("Methods, layers and strength", open=False, elem_id="research"):
        menu = build_menu(session)
        settings, plan, numbers = _settings(session)
        own = build_own_settings()
        shared = _for_all_methods(session)
    fields = {
        "image": image, "question": question, "context": context, "chosen": menu, **numbers,
        **shared, **others,
    }  # fmt: skip
    return Controls(
        fields, draw, suggestions, run, stop, message, text_length, context_note, look,
        settings, own, plan, truths,
    )  # fmt: skip


def _first(examples: Sequence[PageExample], opened: Result | None) -> tuple[Any, list[Truth], str]:
    """Picture, known answers and question to begin with; no question leaves the choice open."""
    if opened is not None:
        filled = opened.filled
        return filled.picture, [opened.truth] if opened.truth else [], filled.question
    if examples:
        return examples[0].image, examples[0].truths, examples[0].question
    drawn = scene(FIRST_SCENE)
    return drawn.image, drawn.truths, ""


def _beside() -> dict[str, Any]:
    """Inputs for other images or a video, and for the picture's place among them."""
    with gr.Accordion("Other images, or a video", open=False, elem_id="others-box"):
        files = inputs.File(
            label=f"Up to {MOST_BESIDE} images, or one video",
            file_count="multiple",
            file_types=["image", "video"],
            height=120,
            elem_id="others",
        )
        number = inputs.Slider(
            1, MOST_BESIDE + 1, 1, step=1, label=PLACE_LABEL, visible=False, elem_id="number"
        )
    return {"beside": files, "number": number}


def header(session: Session) -> str:
    """The title, and which model answers; HTML."""
    adapter = session.adapter
    return fill(
        "header",
        name=Path(session.name).name,
        has_adapter=adapter is not None,
        is_saved=getattr(session, "is_saved", False),
        trained_on=getattr(adapter.config, "trained_on", "") if adapter is not None else "",
        layers=session.num_layers,
        is_bundled=is_bundled(session),
    )


def _text_box(examples: Sequence[PageExample]) -> tuple[gr.Slider, gr.HTML, gr.Textbox]:
    """Unrelated text before the question: the more, the less the model looks at the image."""
    with gr.Group():
        length = inputs.Slider(
            0,
            MAX_TEXT_TOKENS,
            examples[0].text if examples else 0,
            step=16,
            label="Unrelated text, tokens",
            info="Text before the question draws attention away from the image.",
            elem_id="text-length",
        )
        with gr.Accordion("Show the text", open=False, elem_id="show-text"):
            note = html_block('<p class="vl-small">No text.</p>', elem_id="text-note")
            context = gr.Textbox(
                "",
                label="Text before the question",
                lines=4,
                max_lines=10,
                placeholder="Move the slider, or type your own.",
                elem_id="context",
            )
    return length, note, context


def _settings(
    session: Session,
) -> tuple[gr.Accordion, gr.HTML, dict[str, Any]]:
    """Settings of all methods that inject: where they read and write, and how strongly."""
    defaults = session.defaults
    with gr.Accordion("Layers and strength", open=True, elem_id="settings") as settings:
        plan = html_block(
            plan_strip(session.num_layers, defaults.learning, defaults.injection, defaults.stride),
            js_on_load=script("plan.js"),
            elem_id="plan",
        )
        fields = {
            **_range("learning", defaults.learning),
            **_range("injection", defaults.injection),
            "stride": gr.Number(defaults.stride, label="Use every n-th layer", precision=0),
            "alpha": inputs.Slider(
                0, 1, defaults.alpha, step=0.05, label="Strength (alpha)", elem_id="alpha"
            ),
            "samples": inputs.Slider(
                0,
                16,
                defaults.samples,
                step=1,
                label="Latent samples",
                info="0 uses the mean of the prior; more draws samples and shows where they "
                "disagree.",
                # Only an adapter has a latent to sample.
                visible=session.adapter is not None,
                elem_id="samples",
            ),
        }
    return settings, plan, fields


def _range(name: str, bounds: tuple[int, int]) -> dict[str, gr.Number]:
    """Two numbers in one line: first and last layer."""
    numbers = {}
    with gr.Row(elem_classes="vl-range"):
        html_block(f'<span class="vl-key vl-{name}">{name}</span> layers', min_width=120)
        for value, side, end in zip(bounds, ("from", "to"), ("start", "end"), strict=True):
            numbers[f"{name}_{end}"] = gr.Number(
                value,
                label=f"{name.capitalize()} layers {side}",
                min_width=60,
                show_label=False,
                container=False,
                elem_id=f"{name}-{side}",
            )
            if side == "from":
                html_block("to", min_width=20)
    return numbers


def _for_all_methods(session: Session) -> dict[str, gr.Number]:
    """The random seed, and the maximum length of an answer."""
    defaults = session.defaults
    with gr.Row():
        longest = gr.Number(
            defaults.max_new_tokens, label="Longest answer, tokens", scale=2, min_width=160,
            elem_id="longest",
        )  # fmt: skip
        seed = gr.Number(defaults.seed, label="Seed", min_width=80, elem_id="seed")
    return {"seed": seed, "max_new_tokens": longest}
