"""The left column: picture, question, run, settings. Layout only, no events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from vif.ui.actions import inputs
from vif.ui.actions.handlers import Session, questions_of, scene
from vif.ui.html.markup import PICK_SCRIPT, text
from vif.ui.panels.choice import OwnSettings, build_menu, build_own_settings
from vif.ui.panels.look import LookBox, build_look
from vif.ui.state import examples as strips
from vif.ui.state.examples import Example
from vif.ui.state.form import Truth
from vif.ui.theme import html_block

MAX_TEXT_TOKENS = 384
BUNDLED_MODEL = "demo-vlm"
FIRST_SCENE = 7


@dataclass(frozen=True)
class Controls:
    """The components of the left column; `form` is in the order of `form.Form`."""

    image: gr.Image
    draw: gr.Button
    examples: gr.HTML
    question: gr.Textbox
    suggestions: gr.HTML
    run: gr.Button
    stop: gr.Button
    message: gr.HTML
    text_length: gr.Slider
    context: gr.Textbox
    context_note: gr.HTML
    methods: gr.Dropdown
    method_lines: gr.HTML
    look: LookBox
    settings: gr.Accordion
    own: OwnSettings
    plan: gr.HTML
    form: list[gr.components.Component]
    truths: list[Truth]


def build_controls(session: Session, examples: list[Example]) -> Controls:
    """Builds the column; the first example, or a drawn scene, is already in place."""
    filled = scene(FIRST_SCENE)
    truths = examples[0].truths if examples else filled.truths
    image_value = examples[0].image if examples else filled.image
    suggested = questions_of(truths)
    question_value = examples[0].question if examples else suggested[0]
    with gr.Group(elem_classes="vl-group"):
        image = inputs.Image(
            image_value,
            type="filepath",
            label="Picture",
            alt_text="The picture that is asked about",
            format="png",
            sources=["upload", "clipboard"],
            height=232,
            buttons=[],
            elem_id="picture",
        )
        draw = gr.Button("Draw a new scene", size="sm", elem_id="draw")
    example_html = html_block(
        strips.example_strip(examples),
        js_on_load=PICK_SCRIPT,
        visible=bool(examples),
        elem_id="examples",
    )
    question = gr.Textbox(
        question_value, label="Question", lines=1, max_lines=4, elem_id="question"
    )
    suggestions = html_block(
        strips.suggestion_strip(suggested), js_on_load=PICK_SCRIPT, elem_id="suggestions"
    )
    menu, lines = build_menu(session)
    with gr.Row(elem_classes="vl-run"):
        run = gr.Button("Run", variant="primary", scale=3, elem_id="run")
        stop = gr.Button("Stop", interactive=False, scale=1, min_width=70, elem_id="stop")
    message = html_block(elem_id="message", elem_classes="vl-message")
    look = build_look(image_value)
    text_length, context_note, context = _text_box()
    settings, plan, numbers = _settings(session)
    own = build_own_settings()
    form = [image, question, context, menu, *numbers, *_for_all_methods(session)]
    return Controls(
        image, draw, example_html, question, suggestions, run, stop, message, text_length,
        context, context_note, menu, lines, look, settings, own, plan, form, truths,
    )  # fmt: skip


def header(session: Session) -> str:
    """The title, and which model answers; HTML."""
    is_bundled = Path(session.name).name == BUNDLED_MODEL
    limits = (
        "It is small and knows only generated scenes like the ones drawn here: on a photograph "
        "its words mean nothing."
        if is_bundled
        else ""
    )
    adapter = "with training-free VIF"
    if session.adapter is not None:
        trained = session.adapter.config.trained_on
        adapter = "with a VIF adapter" + (f" trained on {text(trained)}" if trained else "")
    return (
        '<div class="vl-header"><div><h1>VIF <span>Lens</span></h1><p>One vision-language model, '
        "asked twice: as it is, and with its attention steered back to the image.</p></div>"
        f'<p class="vl-model" id="model-line"><b>{text(Path(session.name).name)}</b> {adapter}, '
        f"{session.num_layers} layers. {limits}</p></div>"
    )


def _text_box() -> tuple[gr.Slider, gr.HTML, gr.Textbox]:
    """Unrelated text before the question: the more, the less the model looks at the image."""
    with gr.Group(elem_classes="vl-group"):
        length = inputs.Slider(
            0,
            MAX_TEXT_TOKENS,
            0,
            step=16,
            label="Unrelated text, tokens",
            info="Put before the question, it draws attention away from the image.",
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


def _settings(session: Session) -> tuple[gr.Accordion, gr.HTML, list[gr.components.Component]]:
    """What methods that inject share: where they read and write, and how strongly."""
    defaults = session.defaults
    with gr.Accordion("Layers and strength", open=True, elem_id="settings") as settings:
        plan = html_block(
            strips.plan_strip(
                session.num_layers, defaults.learning, defaults.injection, defaults.stride
            ),
            elem_id="plan",
        )
        learning = _range("learning", defaults.learning)
        injection = _range("injection", defaults.injection)
        alpha = inputs.Slider(
            0, 1, defaults.alpha, step=0.05, label="Strength (alpha)", elem_id="alpha"
        )
        with gr.Accordion("More", open=False):
            stride, samples = _rarely_changed(session)
    return settings, plan, [*learning, *injection, stride, alpha, samples]


def _range(name: str, bounds: tuple[int, int]) -> list[gr.Number]:
    """Two numbers in one line: first and last layer."""
    numbers = []
    with gr.Row(elem_classes="vl-range"):
        html_block(f'<span class="vl-key vl-{name}">{name}</span> layers', min_width=120)
        for value, side in zip(bounds, ("from", "to"), strict=True):
            numbers.append(
                gr.Number(
                    value,
                    label=f"{name.capitalize()} layers {side}",
                    precision=0,
                    min_width=60,
                    show_label=False,
                    container=False,
                    elem_id=f"{name}-{side}",
                )
            )
            if side == "from":
                html_block("to", min_width=20)
    return numbers


def _rarely_changed(session: Session) -> list[gr.components.Component]:
    """Stride and sampling; only an adapter has a latent to sample."""
    defaults = session.defaults
    stride = gr.Number(defaults.stride, label="Use every n-th layer", precision=0)
    samples = inputs.Slider(
        0,
        16,
        defaults.samples,
        step=1,
        label="Latent samples",
        info="0 takes the prior mean; more draws samples and shows where they disagree.",
        visible=session.adapter is not None,
        elem_id="samples",
    )
    return [stride, samples]


def _for_all_methods(session: Session) -> list[gr.Number]:
    """Seed of whatever is drawn by chance, and the longest answer."""
    defaults = session.defaults
    with gr.Row():
        longest = gr.Number(
            defaults.max_new_tokens, label="Longest answer, tokens", precision=0, scale=2,
            min_width=160, elem_id="longest",
        )  # fmt: skip
        seed = gr.Number(defaults.seed, label="Seed", precision=0, min_width=80, elem_id="seed")
    return [seed, longest]
