"""Asks again with a mixture that was changed in the browser. Independent of Gradio."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from vif.errors import InputError
from vif.model.generation import Cancelled
from vif.session import Session
from vif.trace import Mixture
from vif.ui.state.components import MixtureChanges
from vif.ui.state.result import CHANGED, Result


def ask_again(
    session: Session, result: Result, data: Any, cancel: threading.Event
) -> Result | None:
    """Runs the model once with the changed mixture; None if it was stopped.

    Args:
        session: The model that answered.
        result: The answers.
        data: What the browser sent: ``answer``, ``layer`` and the arrays of `MixtureChanges`.
        cancel: Set by another thread to stop.

    Raises:
        InputError: If there is nothing to change, no component is left, or the data is broken.
    """
    result.check_answered_by(session.name)
    method, mixture = _chosen(result, data)
    if result.form is None or not len(mixture.weights):
        raise InputError(
            "This map is not a mixture of Gaussians, so it cannot be changed: run a method "
            "such as VIF first."
        )
    source, changes = result.traces[method], MixtureChanges.read(data, mixture)
    mixture = changes.apply(mixture, source, result.renderer_of(method))
    question = result.filled.about(look=mixture.map)
    options = {**result.filled.settings(), "methods": ["look"]}
    options.pop("context")
    try:
        trace = session.ask(question, cancel=cancel, **options)["look"]
    except Cancelled:
        return None
    mixtures = [
        replace(
            found, source=mixture.source, means=mixture.means, sigmas=mixture.sigmas,
            weights=mixture.weights,
        )
        for found in trace.mixtures
    ]  # fmt: skip
    words = f"The mixture of layer {mixture.layer}, {changes.describe()}, in all injection layers"
    meta = trace.meta | {"changed": words}
    return result.with_answer(CHANGED, replace(trace, mixtures=mixtures, meta=meta))


def _chosen(result: Result, data: Any) -> tuple[str, Mixture]:
    """The answer and the mixture that the browser names."""
    name, layer = (data.get(key) if isinstance(data, dict) else None for key in ("answer", "layer"))
    if isinstance(name, str):
        for mixture in result.injecting.get(name, []):
            if mixture.layer == layer:
                return name, mixture
    raise InputError("There is no mixture to change: run a method that injects one first.")
