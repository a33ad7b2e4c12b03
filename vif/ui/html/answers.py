"""The answers as HTML: what each says, how sure it is, and the places where maps are drawn."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from vif import methods
from vif.charts.style import method_label
from vif.scenes import is_correct
from vif.trace import Trace
from vif.ui.html.templates import fill
from vif.ui.state.result import Result
from vif.ui.tones import colour_classes

_MOST_QUOTED = 48  # characters


def answers_html(result: Result, payload: dict[str, Any]) -> str:
    """The headline, one card per answer, and the controls of the maps.

    Args:
        result: The answers.
        payload: What is drawn from, see `vif.ui.state.payload`; the page draws only what belongs
            together.
    """
    position, word = compared_word(result)
    colours = colour_classes(result.traces)
    cards = [
        {
            "name": name,
            "tone": colours[name],
            "does": method_line(name, trace),
            "answer": trace.answer,
            "seconds": trace.meta.get("seconds"),
            "is_right": verdict(trace, result),
            "probability": probability_of(trace, position, word),
            "differs": None if name == result.baseline else result.divergence(name),
        }
        for name, trace in result.traces.items()
    ]
    return fill(
        "answers",
        result=result,
        id=payload["id"],
        headline=headline(result),
        spoken=screen_reader_text(result),
        cards=cards,
        word=word,
        layers=payload["attention"],
        roles=payload["roles"],
        heads=payload["heads"],
        tiled=payload["tiled"],
        text_tokens=result.text_tokens,
    )


def empty_html() -> str:
    """The placeholder of the answers before the first run."""
    return fill("empty")


def method_line(name: str, trace: Trace) -> str:
    """What a method does, in one line; of a changed mixture, what was changed."""
    return trace.meta.get("changed") or methods.find(name).summary


def verdict(trace: Trace, result: Result) -> bool | None:
    """Whether an answer is right; None where the true one is not known."""
    return None if result.truth is None else is_correct(trace.answer, result.truth.answer)


def compared_word(result: Result) -> tuple[int, str]:
    """Returns the word whose probability is compared, and its position: the same in all answers.

    It stands where the answers part, and is the right one where that is known and in sight; else
    what the last answer says there.
    """
    position = result.divergence(result.baseline) or 0
    last = list(result.traces.values())[-1]
    position = min(position, *(len(trace.tokens) - 1 for trace in result.traces.values()))
    if result.truth is not None:
        right = result.truth.answer.strip().lower()
        for trace in result.traces.values():
            for token, _ in trace.alternatives[position] if trace.alternatives else ():
                if token.strip().lower() == right:
                    return position, token
    return position, last.tokens[position]


def probability_of(trace: Trace, position: int, word: str) -> tuple[float, bool]:
    """Returns the probability of a word at a position, and whether it is only a bound from above.

    An answer knows its most likely candidates alone: a word that is not among them has at most
    the probability of the last.
    """
    if trace.tokens[position] == word:
        return math.exp(trace.logprobs[position]), False
    candidates = trace.alternatives[position] if trace.alternatives else []
    for token, probability in candidates:
        if token == word:
            return probability, False
    return min((p for _, p in candidates), default=0.0), True


def headline(result: Result) -> list[tuple[str, str]]:
    """What happened, as pieces of text with the class of the answer that they quote or ""."""
    names, colours = list(result.traces), colour_classes(result.traces)
    if len(names) != 2 or result.baseline not in names:
        if len(names) == 1:
            (trace,) = result.traces.values()
            return [("It answers ", ""), *_quoted(trace, colours[names[0]])]
        distinct = len({trace.answer.strip().lower() for trace in result.traces.values()})
        return [
            (f"Same model, same picture: {len(names)} methods, ", ""),
            ("one answer." if distinct == 1 else f"{distinct} different answers.", ""),
        ]
    base, other = result.baseline, result.others[0]
    first, second = result.traces[base], result.traces[other]
    subject = "Without steering, it" if base == "plain" else method_label(base)
    pieces = [("Same model, same picture. ", "")]
    pieces += [(f"{subject} answers ", ""), *_quoted(first, colours[base]), (" ", "")]
    steered = "Steered to look" if other in ("vif", "vif-free", "look") else method_label(other)
    if second.answer.strip().lower() == first.answer.strip().lower():
        return [*pieces, (f"{steered}, it gives the same answer.", "")]
    return [*pieces, (f"{steered}, it answers ", ""), *_quoted(second, colours[other])]


def screen_reader_text(result: Result) -> str:
    """All answers in one sentence each, for a screen reader."""
    parts = []
    for name, trace in result.traces.items():
        is_right = verdict(trace, result)
        judged = "" if is_right is None else ", which is right" if is_right else ", which is wrong"
        parts.append(f"{method_label(name)} answers {_said(trace)}{judged}.")
    return " ".join(parts)


def _said(trace: Trace) -> str:
    return trace.answer.strip() or "nothing"


def _quoted(trace: Trace, colour: str) -> list[tuple[str, str]]:
    """An answer quoted in the headline, cut if long; its card has all of it."""
    words = textwrap.shorten(_said(trace), _MOST_QUOTED, placeholder=" …")
    return [(words, colour), ("" if words.endswith(("…", ".")) else ".", "")]
