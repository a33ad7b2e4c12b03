"""The stage of a lesson before and after the reveal, computed by the loaded model.

Nothing is recorded: another model shows what it does, and is said not to show what is expected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import escape

from vif.ui.html.stage import picture
from vif.ui.lessons import acting, looking
from vif.ui.lessons.room import Classroom, Reveal, example_of, pair
from vif.ui.lessons.steps import Step
from vif.ui.state.examples import Example


def prepare(step: Step, room: Classroom) -> str:
    """The stage before anything is revealed: picture and question alone."""
    example = example_of(step, room.examples)
    shown = picture(
        example.image, "The picture", mark=room.mark if step.number <= 2 else None,
        can_mark=step.number == 1,
    )  # fmt: skip
    return _question(example) + pair(shown)


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


_SHOWN: dict[int, Callable[[Classroom, Example], Reveal]] = {
    1: looking.where,
    2: looking.plain,
    3: looking.layers,
    4: acting.ladder,
    5: acting.of_beliefs,
    6: acting.muted,
    7: acting.hurts,
    8: acting.not_attention,
}
