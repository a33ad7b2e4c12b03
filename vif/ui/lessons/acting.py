"""Lessons four to eight: what is changed, and what the answer does then."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
import torch

from vif import metrics
from vif.adapter.mixture import MixtureParameters, render
from vif.beliefs.posterior import beliefs
from vif.charts.style import method_label
from vif.probes import attenuation_ladder, deletion_curve, knockout
from vif.probes.ladder import falls
from vif.scenes import is_correct
from vif.trace import Trace
from vif.ui.html.beliefs import belief_figure, share_in_place, shown_map
from vif.ui.html.ladder import ladder_figure
from vif.ui.html.stage import Curve, chart, choices, frame, group, heat, picture, rings, slider
from vif.ui.lessons.room import (
    LONGEST,
    Classroom,
    Reveal,
    answer_line,
    ask,
    mean_map,
    question_of,
    side_by_side,
)
from vif.ui.state.examples import PageExample
from vif.ui.tones import colour_classes

# The share of tokens that is hidden, and the largest fall of a probability that counts as none.
HIDDEN, LITTLE = 0.05, 0.05


def ladder(room: Classroom, example: PageExample) -> Reveal:
    """Lesson 4: the answer after increasing lengths of text."""
    truth = example.known
    found = attenuation_ladder(room.session, question_of(example), cancel=room.cancel)
    share = found.share[0].mean(1)
    right, steered = (sum(said == truth.answer for said in line) for line in found.said)
    saw = (
        f"The plain model's share of attention on the picture falls from {share[0]:.2f} to "
        f"{share[-1]:.2f}. It is right at {right} of {len(found.lengths)} lengths, VIF at "
        f"{steered}."
    )
    # The probability may rise in between: some texts name the right word.
    holds = falls(share) and steered > right
    shown = picture(example.image, "The picture, and the true place", boxes=truth.boxes)
    return Reveal(ladder_figure(found, shown), saw, holds)


def prior_and_posterior(room: Classroom, example: PageExample) -> Reveal:
    """Lesson 5: the map before an answer is known, and after."""
    truth = example.known
    wrong = ask(room, example, ["plain"])["plain"].answer
    answers = list(dict.fromkeys([truth.answer, wrong]))
    found = beliefs(room.session, question_of(example), answers, cancel=room.cancel)
    layer = max(found.prior)
    covered = metrics.box_coverage(found.cells, truth.boxes)
    before = share_in_place(shown_map(found.prior[layer]), covered)
    after = [share_in_place(shown_map(by_layer[layer]), covered) for by_layer in found.posteriors]
    saw = (
        f"Before the answer {100 * before:.0f} % of the map touches the true place; knowing it is "
        f"{truth.answer}, {100 * after[0]:.0f} %"
        + (f"; if it were {wrong}, {100 * after[1]:.0f} %." if len(after) > 1 else ".")
    )
    html = belief_figure(found, example.image, truth.boxes, truth.answer, "lesson")
    return Reveal(html, saw, after[0] > max(before, *after[1:]))


def muted_components(room: Classroom, example: PageExample) -> Reveal:
    """Lesson 6: the answer as components are taken away."""
    truth = example.known
    traces = ask(room, example, ["plain", "vif"])
    vif, mixture = traces["vif"], traces["vif"].mixtures[0]
    order = np.argsort(-mixture.weights)
    left = [np.where(np.isin(np.arange(len(order)), order[:k]), 0, mixture.weights)
            for k in range(len(order))]  # fmt: skip
    assert room.session.adapter is not None  # A mixture was found above, so there is an adapter.
    renderer = room.session.adapter.config.renderer
    maps = [_map_of(mixture.means, mixture.sigmas, weights, vif, renderer) for weights in left]
    settings = replace(room.session.defaults, max_new_tokens=LONGEST)
    questions = [replace(question_of(example), look=weights) for weights in maps]
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
    shown = picture(example.image, "The remaining map", *drawn, tone="vl-vif", boxes=truth.boxes)
    said = "".join(frame(k, answer_line(trace, truth.answer)) for k, trace in enumerate(found))
    first, last = found[0].answer, found[-1].answer
    saw = (
        f"With all {len(order)} blobs the model answers {first}, with none {last}; the right "
        f"answer is {truth.answer}."
    )
    names = [f"{k} muted" for k in range(len(found))]
    holds = is_correct(first, truth.answer) and not is_correct(last, truth.answer)
    note = '<p class="vl-small">Here every head is steered at the full strength alpha.</p>'
    return Reveal(slider("Blobs muted", names) + side_by_side(shown, said) + note, saw, holds)


def _map_of(
    means: np.ndarray, sigmas: np.ndarray, weights: np.ndarray, trace: Trace, renderer: str
) -> np.ndarray:
    parts = (means, sigmas, weights / weights.sum())
    batch = MixtureParameters(*(torch.from_numpy(np.asarray(p))[None] for p in parts))
    return render(batch, torch.from_numpy(trace.centres), renderer)[0].numpy().astype(float)


def broken_answer(room: Classroom, example: PageExample) -> Reveal:
    """Lesson 7: an answer that VIF breaks, and the benchmark."""
    truth = example.known
    traces = ask(room, example, ["plain", "vif"])
    top = max(float(mean_map(trace).max()) for trace in traces.values())
    colours = colour_classes(traces)
    maps = [
        f'<g class="{colours[name]}">{heat(example.image, trace.cells, mean_map(trace), top)}</g>'
        for name, trace in traces.items()
    ]
    drawn = [group(i, content) for i, content in enumerate(maps)]
    shown = picture(example.image, "Where the chosen answer looked", *drawn, boxes=truth.boxes)
    said = "".join(
        frame(i, answer_line(trace, truth.answer)) for i, trace in enumerate(traces.values())
    )
    plain, vif = (trace.answer for trace in traces.values())
    saw = f"The plain model answers {plain}, VIF answers {vif}; the right answer is {truth.answer}."
    holds = is_correct(plain, truth.answer) and not is_correct(vif, truth.answer)
    if room.bench is not None:
        result = room.bench["methods"]["vif"]
        saw += (
            f" In the benchmark of {room.bench['n']:,} {room.bench['split']} questions VIF fixes "
            f"{result['fixed']} and breaks {result['broken']}."
        )
        holds = holds and result["fixed"] > result["broken"]
    steps = choices("Answer of", [method_label(name) for name in traces], "hurts")
    return Reveal(steps + side_by_side(shown, said + _table(room.bench)), saw, holds)


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
        f'<table class="vl-table"><caption>Benchmark, {bench["n"]:,} {bench["split"]} questions'
        '</caption><thead><tr><th scope="col">Method</th><th scope="col">Right</th>'
        '<th scope="col">Fixed</th>'
        f'<th scope="col">Broken</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def not_attention(room: Classroom, example: PageExample) -> Reveal:
    """Lesson 8: what the answer needs, compared with what the model attends to."""
    truth = example.known
    trace = ask(room, example, ["plain"])["plain"]
    look, question = mean_map(trace), question_of(example)
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
        Curve("P if cut off there", np.clip(kept, 0, 1), "vl-vif"),
    ]
    second = chart(
        layers,
        both,
        "layer",
        "Attention, and what the answer needs",
        "Attention and causal effect by layer",
        steps=False,
    )
    at = int(np.flatnonzero(hidden.shares == HIDDEN)[0])
    deep = -1
    saw = (
        f"With the {100 * HIDDEN:g} % of most attention hidden, P({hidden.answer}) is "
        f"{hidden.top[at]:.2f}; with as many random places hidden, {random[at]:.2f}. The last "
        f"layer gives the picture {100 * share[deep]:.0f} % of its attention, but cut off from it "
        f"{100 * kept[deep]:.0f} % of the probability is left."
    )
    holds = hidden.top[at] < random[at] / 2 and share[deep] > 0.3 and kept[deep] > 1 - LITTLE
    steps = slider("Hidden", [f"{tick} % hidden" for tick in ticks])
    html = steps + side_by_side(shown, first + second)
    return Reveal(html, saw, bool(holds))
