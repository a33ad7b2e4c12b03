"""The attenuation ladder as curves and a table that follow the chosen length."""

from __future__ import annotations

from html import escape

import numpy as np

from vif.charts.style import method_label
from vif.probes import Ladder
from vif.ui.html.stage import Curve, chart, frame, slider
from vif.ui.tones import colour_classes

# A small place holds a small share: its axis ends at the first of these that reaches it.
_TOPS = (0.1, 0.2, 0.5)


def ladder_figure(ladder: Ladder, shown: str = "", at: int = 0, is_known: bool = True) -> str:
    """Probability of the tracked answer and image share by length, with a slider.

    Args:
        ladder: The ladder.
        shown: The picture, as HTML.
        at: Index of the length that is shown first.
        is_known: Whether the answer is the right one; otherwise it is the model's own without text.
    """
    lengths = [str(length) for length in ladder.lengths]
    share = ladder.share.mean(-1)
    has_boxes = bool(np.isfinite(ladder.in_box).all())
    whose = "the right answer" if is_known else "the model's own answer without text"
    charts = [
        _curves(ladder, ladder.probability, f"P({ladder.answer}), {whose}"),
        _curves(ladder, share, "Share of attention on the picture, mean over layers"),
    ]
    if has_boxes:
        words = "Share of that in the true place, mean over layers"
        inside = ladder.in_box.mean(-1)
        top = next((t for t in _TOPS if inside.max() <= t), 1.0)
        charts.append(_curves(ladder, inside, words, top))
    rows = "".join(frame(i, _rung(ladder, i, is_known)) for i in range(len(lengths)))
    names = [f"{length} tokens of text" for length in lengths]
    return (
        f"{slider('Text before the question', names, can_play=True, at=at)}"
        f'<div class="vl-rung-row">{shown}<div>{rows}</div></div>'
        f'<div class="vl-charts">{"".join(charts)}</div>'
    )


def _curves(ladder: Ladder, values: np.ndarray, title: str, top: float = 1.0) -> str:
    colours = colour_classes(ladder.methods)
    curves = [
        Curve(method_label(name), line, colours[name])
        for name, line in zip(ladder.methods, values, strict=True)
    ]
    told = "; ".join(
        f"{curve.label}: {', '.join(f'{v:.2f}' for v in curve.values)}" for curve in curves
    )
    ticks = [str(length) for length in ladder.lengths]
    return chart(ticks, curves, "tokens of text", title, f"{title} by length. {told}", top=top)


def _rung(ladder: Ladder, i: int, is_known: bool) -> str:
    cells, colours = [], colour_classes(ladder.methods)
    for m, name in enumerate(ladder.methods):
        said = ladder.said[m][i]
        is_right = said == ladder.answer
        verdict = "right" if is_right else "wrong"
        told = f'<span class="vl-is-{verdict}">{verdict}</span>' if is_known else ""
        cells.append(
            f'<tr class="{colours[name]}"><th scope="row">'
            f"{escape(method_label(name))}</th><td><b>{escape(said)}</b> "
            f"{told}</td>"
            f"<td>{ladder.probability[m, i]:.2f}</td><td>{ladder.share[m, i].mean():.2f}</td></tr>"
        )
    return (
        '<table class="vl-table vl-rung"><thead><tr><th scope="col">Method</th>'
        '<th scope="col">Answer</th>'
        f'<th scope="col">P({escape(ladder.answer)})</th><th scope="col">On the picture</th></tr>'
        f"</thead><tbody>{''.join(cells)}</tbody></table>"
    )
