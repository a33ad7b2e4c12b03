"""What a lesson shows before and after it is revealed, computed by the model that is loaded.

Nothing is recorded: another model shows what it does, and is said not to show what is expected.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
import torch

from vif import metrics
from vif.adapter.mixture import MixtureParameters, render
from vif.draw.charts import method_label
from vif.errors import InputError
from vif.inputs.boxes import Box
from vif.posterior import beliefs
from vif.probes import attenuation_ladder, deletion_curve, knockout
from vif.probes.ladder import falls
from vif.question import Question
from vif.scenes import is_correct, unrelated_text
from vif.scenes.text import SHOWN_TEXT_SEED
from vif.session import Session
from vif.trace import Trace
from vif.ui.html.beliefs import belief_figure, in_place, shown
from vif.ui.html.ladder import ladder_figure
from vif.ui.html.stage import Curve, chart, choices, frame, group, heat, picture, rings, slider
from vif.ui.lessons.steps import STEPS, Step
from vif.ui.state.examples import Example

# Hidden shares whose difference a class can see, and how little a cut may change.
HIDDEN, LITTLE = 0.05, 0.05
LONGEST = 8  # tokens of an answer
LEVEL = 0.02  # shares of a map that count as equal
_TONE = {"plain": "vl-plain", "vif": "vl-vif"}


@dataclass(frozen=True)
class Classroom:
    """What all steps need.

    Attributes:
        session: Model and adapter.
        examples: Of the page.
        bench: Entry of the benchmark without text, or None.
        mark: The box that the class drew, or None.
        cancel: Stops what runs.
    """

    session: Session
    examples: Sequence[Example]
    bench: dict[str, Any] | None = None
    mark: Box | None = None
    cancel: threading.Event | None = None


@dataclass(frozen=True)
class Reveal:
    """What a step shows.

    Attributes:
        html: The stage.
        saw: What is to be seen in it, in one sentence with its numbers.
        holds: Whether this model shows what the step is about.
    """

    html: str
    saw: str
    holds: bool


def example_of(step: Step, examples: Sequence[Example]) -> Example:
    """The example that a step is about.

    Raises:
        InputError: If there is none of its kind, or its answer or place is not known.
    """
    found = next((e for e in examples if e.label == step.example), None)
    if found is None or found.truth is None or not found.truth.boxes:
        raise InputError(
            f"Lesson {step.number} needs an example called '{step.example}' whose answer is known, "
            "and this page has none."
        )
    return found


def prepare(step: Step, room: Classroom) -> str:
    """The stage before anything is revealed: picture and question alone."""
    example = example_of(step, room.examples)
    shown = picture(
        example.image, "The picture", mark=room.mark if step.number <= 2 else None,
        can_mark=step.number == 1,
    )  # fmt: skip
    return _question(example) + _pair(shown)


def reveal(step: Step, room: Classroom) -> Reveal:
    """The stage of a step once it is revealed.

    Raises:
        InputError: If the step's example is missing or the model cannot do what it needs.
        Cancelled: If it was stopped.
    """
    example = example_of(step, room.examples)
    shown = _SHOWN[step.number](room, example)
    return replace(shown, html=_question(example) + shown.html)


def _question(example: Example) -> str:
    return f'<p class="vl-asked-here">“{escape(example.question)}”</p>'


def asked(example: Example) -> Question:
    """An example as it is asked."""
    truth = example.known
    context = unrelated_text(SHOWN_TEXT_SEED, example.text)
    return Question(example.image, example.question, context, truth.boxes, answer=truth.answer)


def _ask(room: Classroom, example: Example, names: Sequence[str]) -> dict[str, Trace]:
    return room.session.ask(
        asked(example), methods=names, max_new_tokens=LONGEST, cancel=room.cancel
    )


def _look(trace: Trace) -> np.ndarray:
    """Where the answer looked, mean of layers and heads, (N,)."""
    return trace.rows[0].mean((0, 1))


def _says(trace: Trace, truth: str) -> str:
    verdict = "right" if is_correct(trace.answer, truth) else "wrong"
    return (
        f'<p class="vl-answer {_TONE.get(trace.method, "")}">{escape(trace.answer)} '
        f'<small class="vl-is-{verdict}">{verdict}, P {float(np.exp(trace.logprobs[0])):.2f}'
        "</small></p>"
    )


def _pair(left: str, right: str = "") -> str:
    second = f"<section>{right}</section>" if right else ""
    return f'<div class="vl-pair"><section>{left}</section>{second}</div>'


# -- the steps ------------------------------------------------------------------------------------


def _where(room: Classroom, example: Example) -> Reveal:
    shown = picture(
        example.image, "The true place, dashed", boxes=example.known.boxes, mark=room.mark
    )
    saw = "The answer is in the dashed box. Nobody drew a box: go back and draw one."
    if room.mark is not None:
        covered = _covered(example.known.boxes, room.mark)
        saw = f"The answer is in the dashed box. Your box covers {100 * covered:.0f} % of it."
    return Reveal(_pair(shown), saw, True)


def _covered(boxes: Sequence[Box], mark: Box) -> float:
    """Which share of the boxes lies in the mark, in [0, 1]."""
    inside = sum(float(metrics.box_coverage(np.array([box]), [mark])[0]) for box in boxes)
    return inside / len(boxes)


def _plain(room: Classroom, example: Example) -> Reveal:
    trace, truth = _ask(room, example, ["plain"])["plain"], example.truth
    covered = metrics.box_coverage(trace.cells, truth.boxes)
    look = _look(trace)
    inside, even = float(look @ covered / look.sum()), float(covered.sum() / len(covered))
    drawn = heat(example.image, trace.cells, look)
    shown = picture(
        example.image, "Where the model looked", drawn, boxes=truth.boxes, mark=room.mark
    )
    is_wrong = not is_correct(trace.answer, truth.answer)
    verdict = f"but it is {truth.answer}" if is_wrong else "and it is right"
    saw = (
        f"The model says {trace.answer}, {verdict}. {100 * inside:.1f} % of its look lies in the "
        f"true place; an even look would put {100 * even:.1f} % there."
    )
    if room.mark is not None:
        own = metrics.box_coverage(trace.cells, [room.mark])
        saw += f" {100 * float(look @ own / look.sum()):.0f} % lies in your box."
    return Reveal(_pair(shown, _says(trace, truth.answer)), saw, is_wrong)


def _layers(room: Classroom, example: Example) -> Reveal:
    trace, truth = _ask(room, example, ["plain"])["plain"], example.truth
    covered = metrics.box_coverage(trace.cells, truth.boxes)
    rows = trace.rows[0].mean(1)
    share, inside = metrics.image_share(trace), metrics.in_box_mass(trace, covered)
    top = float(rows.max())
    maps = [group(i, heat(example.image, trace.cells, row, top)) for i, row in enumerate(rows)]
    shown = picture(example.image, "Where the chosen layer looks", *maps, boxes=truth.boxes)
    words = "".join(
        frame(
            i,
            f'<p class="vl-small">Layer {i}: {100 * share[i]:.0f} % of the attention is on the '
            f"picture, {100 * inside[i]:.0f} % of that in the true place. One scale for all "
            "layers.</p>",
        )
        for i in range(len(rows))
    )
    curves = [
        Curve("on the picture", share, "vl-plain"),
        Curve("of that, in the true place", inside, "vl-plain", is_dashed=True),
    ]
    ticks = [str(i) for i in range(len(rows))]
    drawn = chart(ticks, curves, "layer", "Share of attention", "Shares of attention by layer")
    best = int(inside.argmax())
    saw = (
        f"Layer {best} has {100 * inside[best]:.0f} % of its look in the true place, the last "
        f"layer {100 * inside[-1]:.0f} %, though {100 * share[-1]:.0f} % of its attention is "
        "still on the picture."
    )
    steps = slider("Layer", [f"layer {i}" for i in range(len(rows))], can_play=True)
    html = steps + _pair(shown + words, drawn)
    return Reveal(html, saw, bool(inside[-1] < inside[best] / 2))


def _ladder(room: Classroom, example: Example) -> Reveal:
    truth = example.known
    found = attenuation_ladder(room.session, asked(example), cancel=room.cancel)
    share = found.share[0].mean(1)
    turns = [said != truth.answer for said in found.said[0]]
    kept = [said == truth.answer for said in found.said[1]]
    saw = (
        f"The plain model's share on the picture falls from {share[0]:.2f} to {share[-1]:.2f}. "
        f"It is right at {len(turns) - sum(turns)} of {len(turns)} lengths, VIF at {sum(kept)}."
    )
    # The probability may rise in between: some texts name the right word.
    holds = falls(share) and sum(kept) > len(turns) - sum(turns)
    shown = picture(example.image, "The picture, and the true place", boxes=truth.boxes)
    return Reveal(ladder_figure(found, shown), saw, holds)


def _beliefs(room: Classroom, example: Example) -> Reveal:
    truth = example.known
    wrong = _ask(room, example, ["plain"])["plain"].answer
    answers = list(dict.fromkeys([truth.answer, wrong]))
    found = beliefs(room.session, asked(example), answers, cancel=room.cancel)
    layer = max(found.prior)
    covered = metrics.box_coverage(found.cells, truth.boxes)
    before = in_place(shown(found.prior[layer]), covered)
    after = [in_place(shown(by_layer[layer]), covered) for by_layer in found.posteriors]
    saw = (
        f"Before the answer {100 * before:.0f} % of the map touches the true place; knowing it is "
        f"{truth.answer}, {100 * after[0]:.0f} %"
        + (f"; told that it were {wrong}, {100 * after[1]:.0f} %." if len(after) > 1 else ".")
    )
    html = belief_figure(found, example.image, truth.boxes, truth.answer, "lesson")
    return Reveal(html, saw, after[0] > max(before, *after[1:]))


def _muted(room: Classroom, example: Example) -> Reveal:
    truth = example.known
    traces = _ask(room, example, ["plain", "vif"])
    vif, mixture = traces["vif"], traces["vif"].mixtures[0]
    order = np.argsort(-mixture.weights)
    left = [np.where(np.isin(np.arange(len(order)), order[:k]), 0, mixture.weights)
            for k in range(len(order))]  # fmt: skip
    assert room.session.adapter is not None  # else the mixture above could not be asked for
    renderer = room.session.adapter.config.renderer
    maps = [_map_of(mixture.means, mixture.sigmas, weights, vif, renderer) for weights in left]
    settings = replace(room.session.defaults, max_new_tokens=LONGEST)
    questions = [replace(asked(example), look=weights) for weights in maps]
    found = room.session.ask_batch(questions, ["look"], settings, room.cancel)["look"]
    found = [*found, traces["plain"]]
    top = max(float(m.max()) for m in maps)
    drawn = [
        group(
            k,
            heat(example.image, vif.cells, maps[k], top)
            + rings(example.image, mixture.means, mixture.sigmas, left[k]),
        )
        for k in range(len(left))
    ]
    shown = picture(
        example.image, "What is left of the map", *drawn, tone="vl-vif", boxes=truth.boxes
    )
    said = "".join(frame(k, _says(trace, truth.answer)) for k, trace in enumerate(found))
    first, last = found[0].answer, found[-1].answer
    saw = (
        f"With all {len(order)} blobs the model says {first}, with none {last}; it is "
        f"{truth.answer}."
    )
    names = [f"{k} muted" for k in range(len(found))]
    holds = is_correct(first, truth.answer) and not is_correct(last, truth.answer)
    note = '<p class="vl-small">Here every head gets the map at the full strength alpha.</p>'
    return Reveal(slider("Blobs muted", names) + _pair(shown, said) + note, saw, holds)


def _map_of(
    means: np.ndarray, sigmas: np.ndarray, weights: np.ndarray, trace: Trace, renderer: str
) -> np.ndarray:
    parts = (means, sigmas, weights / weights.sum())
    batch = MixtureParameters(*(torch.from_numpy(np.asarray(p))[None] for p in parts))
    return render(batch, torch.from_numpy(trace.centres), renderer)[0].numpy().astype(float)


def _hurts(room: Classroom, example: Example) -> Reveal:
    truth = example.known
    traces = _ask(room, example, ["plain", "vif"])
    top = max(float(_look(trace).max()) for trace in traces.values())
    maps = [
        f'<g class="{_TONE[name]}">{heat(example.image, trace.cells, _look(trace), top)}</g>'
        for name, trace in traces.items()
    ]
    drawn = [group(i, content) for i, content in enumerate(maps)]
    shown = picture(example.image, "Where the chosen answer looked", *drawn, boxes=truth.boxes)
    said = "".join(frame(i, _says(trace, truth.answer)) for i, trace in enumerate(traces.values()))
    plain, vif = (trace.answer for trace in traces.values())
    saw = f"The plain model says {plain}, VIF {vif}; it is {truth.answer}."
    holds = is_correct(plain, truth.answer) and not is_correct(vif, truth.answer)
    if room.bench is not None:
        result = room.bench["methods"]["vif"]
        saw += (
            f" In the benchmark of {room.bench['n']:,} questions VIF mends {result['fixed']} and "
            f"breaks {result['broken']}."
        )
        holds = holds and result["fixed"] > result["broken"]
    steps = choices("Answer of", [method_label(name) for name in traces], "hurts")
    return Reveal(steps + _pair(shown, said + _table(room.bench)), saw, holds)


def _table(bench: dict[str, Any] | None) -> str:
    if bench is None:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(method_label(name))}</th>'
        f"<td>{100 * found['accuracy']['all']:.1f} %</td><td>{found['fixed']}</td>"
        f"<td>{found['broken']}</td></tr>"
        for name, found in bench["methods"].items()
    )
    return (
        f'<table class="vl-table"><caption>Benchmark, {bench["n"]:,} questions</caption><thead>'
        '<tr><th scope="col">Method</th><th scope="col">Right</th><th scope="col">Mended</th>'
        f'<th scope="col">Broken</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _not_attention(room: Classroom, example: Example) -> Reveal:
    truth = example.known
    trace = _ask(room, example, ["plain"])["plain"]
    look, question = _look(trace), asked(example)
    hidden = deletion_curve(room.session, question, look, cancel=room.cancel)
    cut = knockout(room.session, question, cancel=room.cancel)
    kept = 1 + cut.change[cut.flows.index("image->last")] / 100
    share = metrics.image_share(trace)
    order = np.argsort(-look)
    gone = []
    for i, part in enumerate(hidden.shares):
        marked = np.zeros(len(look))
        marked[order[: round(part * len(look))]] = 1
        gone.append(group(i, heat(example.image, trace.cells, marked, 1.0)))
    shown = picture(example.image, "Places that are hidden", *gone, boxes=truth.boxes)
    ticks = [f"{100 * part:g}" for part in hidden.shares]
    random = hidden.random.mean(0)
    curves = [
        Curve("most attention first", hidden.top, "vl-plain"),
        Curve("in random order", random, "vl-plain", is_dashed=True),
    ]
    title = f"P({hidden.answer}) as places are hidden"
    first = chart(ticks, curves, "% of the picture hidden", title, title)
    layers = [str(i) for i in range(trace.num_layers)]
    both = [
        Curve("attention on the picture", share, "vl-plain"),
        Curve("P left if cut off there", np.clip(kept, 0, 1), "vl-vif"),
    ]
    second = chart(
        layers, both, "layer", "Looked at, and needed", "Attention and need by layer", steps=False
    )
    at = int(np.flatnonzero(hidden.shares == HIDDEN)[0])
    deep = -1
    saw = (
        f"With the {100 * HIDDEN:g} % that got most attention hidden, P({hidden.answer}) is "
        f"{hidden.top[at]:.2f}; with as many random places hidden, {random[at]:.2f}. The last "
        f"layer gives the picture {100 * share[deep]:.0f} % of its attention, but cut off from it "
        f"{100 * kept[deep]:.0f} % of the probability is left."
    )
    holds = hidden.top[at] < random[at] / 2 and share[deep] > 0.3 and kept[deep] > 1 - LITTLE
    steps = slider("Hidden", [f"{tick} % hidden" for tick in ticks])
    html = steps + _pair(shown, first + second)
    return Reveal(html, saw, bool(holds))


_SHOWN: dict[int, Callable[[Classroom, Example], Reveal]] = dict(
    zip(
        (step.number for step in STEPS),
        (_where, _plain, _layers, _ladder, _beliefs, _muted, _hurts, _not_attention),
        strict=True,
    )
)
