"""Answers that need no model: those recorded with the examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vif.session import Session
from vif.ui.actions.ask import is_bundled
from vif.ui.state.examples import PageExample
from vif.ui.state.form import Form
from vif.ui.state.result import Result


def first_result(examples: Sequence[PageExample]) -> Result | None:
    """Returns the recorded answers to the first example, which is in the form as the page loads."""
    recorded = examples[0].recorded if examples else None
    return recorded[0] if recorded else None


def recorded_for(session: Session, form: Form, example: PageExample) -> Result | None:
    """Returns an example's recorded answers if the form asks the same question of the same model.

    Args:
        session: The model that would be asked.
        form: What is filled in; picture, question and text are the example's.
        example: The example.
    """
    if example.recorded is None or not is_bundled(session):
        return None
    result, _ = example.recorded
    is_same = (
        list(form.chosen) == list(result.traces)
        and replace(result.filled, question=form.question, context=form.context).settings()
        == form.settings()
        and not form.options_changed()
    )
    # The picture as it was uploaded, to ask again about the same.
    return replace(result, form=form) if is_same else None
