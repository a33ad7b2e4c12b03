"""The stage of a lesson before and after the reveal, computed by the loaded model.

Nothing is recorded: another model shows what it does, and is said not to show what is expected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import escape

from vif.ui.html.stage import picture
from vif.ui.lessons import acting, looking
from vif.ui.lessons.room import Classroom, Reveal, example_of, side_by_side
from vif.ui.lessons.steps import Step
from vif.ui.state.examples import PageExample


def prepare(step: Step, room: Classroom) -> str:
    """The stage before anything is revealed: picture and question alone."""
    example = example_of(step, room.examples)
    shown = picture(
        example.image, "The picture", mark=room.mark if step.number <= 2 else None,
        can_mark=step.number == 1,
    )  # fmt: skip
    return _question(example) + side_by_side(shown)


def reveal(step: Step, room: Classroom) -> Reveal:
    """The stage of a step once it is revealed.

    Raises:
        InputError: If the step's example is missing or the model cannot do what it needs.
        Cancelled: If it was stopped.
    """
    example = example_of(step, room.examples)
    shown = _SHOWN[step.number](room, example)
    return replace(shown, html=_question(example) + shown.html)


def _question(example: PageExample) -> str:
    return f'<p class="vl-asked-here">“{escape(example.question)}”</p>'


_SHOWN: dict[int, Callable[[Classroom, PageExample], Reveal]] = {
    1: looking.true_place,
    2: looking.plain_answer,
    3: looking.layers,
    4: acting.ladder,
    5: acting.prior_and_posterior,
    6: acting.muted_components,
    7: acting.broken_answer,
    8: acting.not_attention,
}
