"""Lessons one to three: where a model looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vif import metrics
from vif.inputs.boxes import Box
from vif.scenes import is_correct
from vif.ui.html.stage import Curve, chart, frame, group, heat, picture, slider
from vif.ui.lessons.room import Classroom, Reveal, answer_line, ask, mean_map, side_by_side
from vif.ui.state.examples import PageExample


def true_place(room: Classroom, example: PageExample) -> Reveal:
    """Lesson 1: the true place, and how much of it the class marked."""
    shown = picture(
        example.image, "The true place, dashed", boxes=example.known.boxes, mark=room.mark
    )
    saw = "The answer is in the dashed box. Nobody drew a box: go back and draw one."
    if room.mark is not None:
        covered = _covered(example.known.boxes, room.mark)
        saw = f"The answer is in the dashed box. Your box covers {100 * covered:.0f} % of it."
    return Reveal(side_by_side(shown), saw, True)


def _covered(boxes: Sequence[Box], mark: Box) -> float:
    """Which share of the boxes lies in the mark, in [0, 1]."""
    inside = sum(float(metrics.box_coverage(np.array([box]), [mark])[0]) for box in boxes)
    return inside / len(boxes)


def plain_answer(room: Classroom, example: PageExample) -> Reveal:
    """Lesson 2: the plain answer, and where it looked."""
    trace, truth = ask(room, example, ["plain"])["plain"], example.known
    covered = metrics.box_coverage(trace.cells, truth.boxes)
    look = mean_map(trace)
    inside, even = float(look @ covered / look.sum()), float(covered.sum() / len(covered))
    drawn = heat(example.image, trace.cells, look)
    shown = picture(
        example.image, "Where the model looked", drawn, boxes=truth.boxes, mark=room.mark
    )
    is_wrong = not is_correct(trace.answer, truth.answer)
    verdict = f"but the answer is {truth.answer}" if is_wrong else "and it is right"
    saw = (
        f"The model answers {trace.answer}, {verdict}. {100 * inside:.1f} % of its attention on "
        f"the picture lies in the true place; uniform attention would put {100 * even:.1f} % "
        "there."
    )
    if room.mark is not None:
        own = metrics.box_coverage(trace.cells, [room.mark])
        saw += f" {100 * float(look @ own / look.sum()):.0f} % lies in your box."
    return Reveal(side_by_side(shown, answer_line(trace, truth.answer)), saw, is_wrong)


def layers(room: Classroom, example: PageExample) -> Reveal:
    """Lesson 3: where each layer looked."""
    trace, truth = ask(room, example, ["plain"])["plain"], example.known
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
        f"Layer {best} has {100 * inside[best]:.0f} % of its attention on the picture in the true "
        f"place, the last layer {100 * inside[-1]:.0f} %, though {100 * share[-1]:.0f} % of its "
        "attention is still on the picture."
    )
    steps = slider("Layer", [f"layer {i}" for i in range(len(rows))], can_play=True)
    html = steps + side_by_side(shown + words, drawn)
    return Reveal(html, saw, bool(inside[-1] < inside[best] / 2))
