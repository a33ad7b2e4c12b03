"""The answer cards as HTML: what each answer says, how sure it is, and what changed."""

from __future__ import annotations

import math

import numpy as np

from vif import methods
from vif.draw.charts import method_label
from vif.scenes import is_correct
from vif.trace import Trace
from vif.ui.html.markup import chip, number, percent, short_label, text, tones, visible_token
from vif.ui.state.result import Curves, Result, View

SUBTITLES = {
    "plain": "the model as it is",
    "vif": "attention steered back to the image",
    "look": "the same strength on the place you mark under 'Look here'",
}
_EMPTY = """
<section class="vl-empty" aria-label="Results">
  <p class="vl-empty-lead">Here the same model will answer twice: as it is, and with VIF steering
  its deep layers back to the image, or by any other methods you compare. Under each answer you will
  see where every layer looked, how much it looked at all, and what was injected.</p>
  <ol class="vl-steps"><li><b>Picture</b> take this one, draw a new scene or upload</li>
  <li><b>Question</b> click a suggestion or type</li>
  <li><b>Run</b> compare the answers</li></ol>
  <div class="vl-cols" aria-hidden="true"><div class="vl-ghost vl-plain"><i></i><b></b><em></em>
  </div><div class="vl-ghost vl-vif"><i></i><b></b><em></em></div>
  <div class="vl-ghost vl-diff"><i></i><b></b><em></em></div></div>
</section>"""


def empty_cards() -> str:
    """What stands in the place of the answers before the first run."""
    return _EMPTY


def answer_cards(result: Result, view: View) -> str:
    """The cards of all answers side by side, and what differs between them."""
    colours = tones(result.traces)
    cards = [_card(name, colours[name], result, view) for name in result.traces]
    if result.others:
        cards.append(_changes(result, view))
    return f'<div class="vl-cols vl-answers-{len(result.traces)}">{"".join(cards)}</div>'


def _card(name: str, colour: str, result: Result, view: View) -> str:
    """One answer: text, tokens, and the alternatives of the chosen token."""
    trace, label = result.traces[name], method_label(name)
    does = text(_subtitle(name, trace))
    seconds = trace.meta.get("seconds")
    time = f'<span class="vl-time">{seconds:.2f} s</span>' if seconds is not None else ""
    answer = text(trace.answer) or '<span class="vl-muted">(an empty answer)</span>'
    return (
        f'<article class="vl-card {colour}" data-method="{text(name)}" '
        f'aria-label="{text(label)}: answer">'
        f'<header><h3>{text(label)}</h3>{time}<p title="{does}">{does}</p></header>'
        f'<p class="vl-answer">{answer}</p>{_verdict(trace, result)}'
        f'<div class="vl-chips" role="group" aria-label="Tokens of the answer">'
        f"{_chips(trace, result.divergence(name), view)}</div>{_alternatives(trace, view)}"
        "</article>"
    )


def _subtitle(name: str, trace: Trace) -> str:
    """What a method does, in one line; of a changed mixture, what was changed."""
    return trace.meta.get("changed") or SUBTITLES.get(name) or methods.find(name).summary


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
    """The last card: what differs between the answers, in words and a few numbers."""
    injection = result.first.meta.get("injection")
    low, high = injection or (0, result.first.num_layers - 1)
    title, subtitle, words, note = _told(result)
    names = [result.baseline, *result.others]
    heads = "".join(f'<th scope="col">{text(short_label(name))}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{value}</td>" for value in values)}</tr>'
        for name, *values in _numbers(result, view, slice(low, high + 1))
    )
    return (
        f'<article class="vl-card vl-diff" aria-label="{title}">'
        f"<header><h3>{title}</h3><p>{text(subtitle)}</p></header>"
        f'<p class="vl-answer vl-quiet">{words}</p><p class="vl-note">{text(note)}</p>'
        f'<div class="vl-across"><table class="vl-table"><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        f'<p class="vl-small">Attention: token {view.token + 1}, mean of layers {low}–{high}.</p>'
        "</article>"
    )


def _told(result: Result) -> tuple[str, str, str, str]:
    """Title, subtitle, verdict and a note; plain text."""
    base, others = method_label(result.baseline), result.others
    differing = [name for name in others if result.divergence(name) is not None]
    if len(others) == 1:
        name = short_label(others[0])
        subtitle = f"{name}, compared with {short_label(result.baseline)}"
        if not differing:
            return "What changed", subtitle, "Same answer", f"{name} did not change a token."
        at = result.divergence(others[0]) + 1
        note = f"First difference: token {at}, marked ≠."
        return "What changed", subtitle, "The answers differ", note
    title, subtitle = "Compared", f"all on the same weights; {base} is what others differ from"
    if not differing:
        return title, subtitle, "Same answer from all", "No method changed a token."
    named = ", ".join(
        f"{short_label(name)} from token {result.divergence(name) + 1}" for name in differing
    )
    return title, subtitle, f"{len(differing)} of {len(others)} differ", f"{named}, marked ≠."


def _numbers(result: Result, view: View, layers: slice) -> list[tuple[str, ...]]:
    """Rows of the comparison: a name, then a value per answer; attention is a mean of `layers`."""
    pair = {name: result.traces[name] for name in (result.baseline, *result.others)}
    curves = Curves.of(result, view)
    sure = [f"{math.exp(t.logprobs[view.token_of(t)]):.2f}" for t in pair.values()]
    rows = [(f"Probability of token {view.token + 1}", *sure)]
    for words, values, form in (
        ("Attention on the image", curves.share, percent),
        ("… of it on what was asked", curves.asked, percent),
        ("Spread over the image", curves.entropy, number),
    ):
        if values:
            means = (form(float(np.nanmean(values[name][layers]))) for name in pair)
            rows.append((words, *means))
    return rows
