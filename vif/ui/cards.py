"""The answer cards as HTML: what each answer says, how sure it is, and what changed."""

from __future__ import annotations

import math

import numpy as np

from vif import methods
from vif.charts import method_label
from vif.scenes import is_correct
from vif.trace import Trace
from vif.ui.markup import chip, number, percent, text, tone, visible_token
from vif.ui.state import Curves, Result, View

SUBTITLES = {
    "plain": "the model as it is",
    "vif": "attention steered back to the image",
    "vif-free": methods.find("vif-free").summary,
}
_EMPTY = """
<section class="vl-empty" aria-label="Results">
  <p class="vl-empty-lead">Here the same model will answer twice: as it is, and with VIF steering
  its deep layers back to the image. Under each answer you will see where every layer looked, how
  much it looked at all, and what VIF injected.</p>
  <ol class="vl-steps"><li><b>Picture</b> take this one, draw a new scene or upload</li>
  <li><b>Question</b> click a suggestion or type</li>
  <li><b>Run</b> compare the two answers</li></ol>
  <div class="vl-cols" aria-hidden="true"><div class="vl-ghost vl-plain"><i></i><b></b><em></em>
  </div><div class="vl-ghost vl-vif"><i></i><b></b><em></em></div>
  <div class="vl-ghost vl-diff"><i></i><b></b><em></em></div></div>
</section>"""


def empty_cards() -> str:
    """What stands in the place of the answers before the first run."""
    return _EMPTY


def answer_cards(result: Result, view: View) -> str:
    """The cards of all answers side by side, and what changed between them."""
    cards = [_card(name, trace, result, view) for name, trace in result.traces.items()]
    if result.steered is not None:
        cards.append(_changes(result, view))
    return f'<div class="vl-cols vl-count-{len(cards)}">{"".join(cards)}</div>'


def _card(name: str, trace: Trace, result: Result, view: View) -> str:
    """One answer: text, tokens, and the alternatives of the chosen token."""
    label = method_label(name)
    seconds = trace.meta.get("seconds")
    time = f'<span class="vl-time">{seconds:.2f} s</span>' if seconds is not None else ""
    answer = text(trace.answer) or '<span class="vl-muted">(an empty answer)</span>'
    return (
        f'<article class="vl-card {tone(name)}" data-method="{text(name)}" '
        f'aria-label="{text(label)}: answer">'
        f"<header><h3>{text(label)}</h3>{time}<p>{text(SUBTITLES.get(name, ''))}</p></header>"
        f'<p class="vl-answer">{answer}</p>{_verdict(trace, result)}'
        f'<div class="vl-chips" role="group" aria-label="Tokens of the answer">'
        f"{_chips(trace, result.divergence(), view)}</div>{_alternatives(trace, view)}</article>"
    )


def _verdict(trace: Trace, result: Result) -> str:
    """Right or wrong, where the true answer is known."""
    if result.truth is None:
        return ""
    is_right = is_correct(trace.answer, result.truth.answer)
    sign, kind = ("✓", "right") if is_right else ("✗", "wrong")
    words = "right" if is_right else f"wrong, it is {text(result.truth.answer)}"
    return f'<p class="vl-verdict vl-{kind}"><span aria-hidden="true">{sign}</span> {words}</p>'


def _chips(trace: Trace, divergence: int | None, view: View) -> str:
    """The tokens as buttons, shaded by probability, with the number under each."""
    chosen = view.token_of(trace)
    made = []
    for index, token in enumerate(trace.tokens):
        probability = math.exp(trace.logprobs[index])
        shown = text(visible_token(token))
        is_first_difference = index == divergence
        mark = '<i class="vl-mark">≠</i>' if is_first_difference else ""
        note = ", the first that differs" if is_first_difference else ""
        made.append(
            chip(
                index,
                f"{mark}<b>{shown}</b><small>{probability:.2f}</small>",
                pressed=index == chosen,
                class_="vl-chip vl-token" + (" vl-differs" if is_first_difference else ""),
                style=f"--p:{probability:.3f}",
                title=_hint(trace, index),
                aria_label=f"token {index + 1} {token}, probability {probability:.2f}{note}",
            )
        )
    return "".join(made)


def _hint(trace: Trace, index: int) -> str:
    """The best candidates of a token in one line, plain text."""
    if index >= len(trace.alternatives):
        return f"token {index + 1}"
    best = (f"{visible_token(t)} {p:.2f}" for t, p in trace.alternatives[index][:4])
    return f"token {index + 1}: " + " · ".join(best)


def _alternatives(trace: Trace, view: View) -> str:
    """The candidates for the chosen token as bars."""
    token = view.token_of(trace)
    if token >= len(trace.alternatives):
        return ""
    rows = "".join(
        f'<li><span class="vl-word">{text(visible_token(word))}</span>'
        f'<span class="vl-track"><i style="width:{100 * min(1.0, p):.1f}%"></i></span>'
        f'<span class="vl-num">{p:.2f}</span></li>'
        for word, p in trace.alternatives[token][:4]
    )
    return (
        f'<p class="vl-small">How sure at token {token + 1}</p>'
        f'<ul class="vl-bars" aria-label="Candidates for token {token + 1}">{rows}</ul>'
    )


def _changes(result: Result, view: View) -> str:
    """The third card: what VIF changed, in words and a few numbers."""
    low, high = result.steered.meta.get("injection") or (0, result.steered.num_layers - 1)
    at = result.divergence()
    if at is None:
        words = "Same answer"
        note = "VIF did not change a token."
    else:
        words = "The answers differ"
        note = f"First difference: token {at + 1}, marked ≠."
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{before}</td><td>{after}</td></tr>'
        for name, before, after in _numbers(result, view, slice(low, high + 1))
    )
    return (
        f'<article class="vl-card vl-diff" aria-label="What changed">'
        f"<header><h3>What changed</h3><p>with VIF, compared with plain</p></header>"
        f'<p class="vl-answer vl-quiet">{words}</p><p class="vl-note">{note}</p>'
        f'<table class="vl-table"><thead><tr><th></th><th scope="col">Plain</th>'
        f'<th scope="col">VIF</th></tr></thead><tbody>{rows}</tbody></table>'
        f'<p class="vl-small">Attention: token {view.token + 1}, mean of layers {low}–{high}.</p>'
        "</article>"
    )


def _numbers(result: Result, view: View, layers: slice) -> list[tuple[str, str, str]]:
    """Rows of the comparison: name, plain, VIF; plain text. Attention is a mean of `layers`."""
    pair = {name: result.traces[name] for name in ("plain", result.steered.method)}
    curves = Curves.of(result, view)
    sure = [f"{math.exp(t.logprobs[view.token_of(t)]):.2f}" for t in pair.values()]
    rows = [(f"Probability of token {view.token + 1}", *sure)]
    for words, values, form in (
        ("Attention on the image", curves.share, percent),
        ("… of it on what was asked", curves.asked, percent),
        ("Spread over the image", curves.entropy, number),
    ):
        if values:
            means = (form(float(np.mean(values[name][layers]))) for name in pair)
            rows.append((words, *means))
    return rows
