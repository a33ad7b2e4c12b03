"""What all probes share: opening a question, and results as JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vif.model.batch import Batch
from vif.probes.prefix import SharedPrompt
from vif.question import Question
from vif.session import Session


@dataclass(frozen=True)
class ProbeResult:
    """A frozen dataclass whose fields are numbers, words and arrays."""

    def as_json(self) -> dict[str, Any]:
        """Its fields as JSON values: arrays as nested lists, NaN as None."""
        return {part.name: plain(getattr(self, part.name)) for part in fields(self)}


def plain(value: Any) -> Any:
    """Arrays as nested lists rounded to 6 digits, NaN as None; everything else unchanged."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value


def open_prompt(session: Session, question: Question) -> SharedPrompt:
    """A question that is read many times."""
    prompt = session.encode(question.opened())
    return SharedPrompt(session.backbone, Batch.make(session.backbone, [prompt]))
