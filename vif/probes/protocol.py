"""The interface of a probe; every probe registers itself in `PROBES`, which menus list."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from vif.errors import InputError
from vif.extras import need
from vif.model.generation import Cancelled
from vif.probes.base import ProbeResult
from vif.progress import Progress
from vif.question import Question
from vif.registry import Registry
from vif.session import Session
from vif.settings import Settings
from vif.trace import Trace

Found = TypeVar("Found", bound=ProbeResult)


@dataclass(frozen=True, eq=False)
class ProbeCall:
    """The input of a probe.

    Attributes:
        session: The model.
        question: What is asked about which image.
        method: The method whose map is probed, if the probe needs one.
        trace: Its answer.
        label: The name of its map.
        settings: The settings of that answer; the session's own by default.
        options: Values of `Probe.flags` by name; what is missing has its default.
        cancel: Stops between two passes.
        progress: Called with (variants done, variants in all).
    """

    session: Session
    question: Question
    method: str = "plain"
    trace: Trace | None = None
    label: str = "the map"
    settings: Settings | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    cancel: threading.Event | None = None
    progress: Progress | None = None

    @property
    def shared(self) -> dict[str, Any]:
        """What every function that makes many passes takes."""
        return {"cancel": self.cancel, "progress": self.progress}

    @property
    def mapped(self) -> Trace:
        """The answer whose map is probed.

        Raises:
            InputError: If there is none.
        """
        if self.trace is None:
            raise InputError("No map was named: name the method whose map to probe.")
        return self.trace

    def cells(self) -> np.ndarray:
        """The part of the full picture that each image token covers, (N, 4), NaN for none.

        Raises:
            InputError: If the question cannot be put to the model.
        """
        asked = self.question.opened()
        prompt = self.session.encode(asked)
        return prompt.layout.cells

    def once(self, work: Callable[[], Found]) -> Found:
        """Runs a single pass; it can be cancelled only before it begins."""
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled
        found = work()
        if self.progress is not None:
            self.progress(1, 1)
        return found


@dataclass(frozen=True)
class ProbeFlag:
    """An option of a probe on the command line.

    Attributes:
        name: Without the leading hyphens.
        kind: Converts the text of an argument to a value.
        text: One line for a person.
        default: Used if no value is given.
        several: Whether it takes more than one value.
    """

    name: str
    kind: Callable[[str], Any]
    text: str
    default: Any = None
    several: bool = False


ANSWER = ProbeFlag("answer", str, "answer to track; default: the model's own")


class Probe(ABC, Generic[Found]):
    """One way to ask why a model answers as it does.

    Attributes:
        name: The name on the command line and in results.
        label: The name shown to users.
        does: What it does and costs, one sentence.
        needs_map: Whether it is about the map of one answer.
        needs_injection: Whether that map must have been injected.
        needs_whole: Whether that map must lie on the tokens of the full picture.
        takes_boxes: Whether it uses the true boxes.
        flags: Its options on the command line.
    """

    name: str
    label: str
    does: str
    needs_map: bool = False
    needs_injection: bool = False
    needs_whole: bool = False
    takes_boxes: bool = False
    flags: tuple[ProbeFlag, ...] = ()

    @abstractmethod
    def run(self, call: ProbeCall) -> Found:
        """Runs the probe.

        Raises:
            InputError: If what was given cannot be probed.
            Cancelled: If it was stopped.
        """

    @abstractmethod
    def words(self, found: Found, call: ProbeCall) -> str:
        """What was found, in one to three sentences for the page."""

    @abstractmethod
    def table(self, found: Found, call: ProbeCall) -> str:
        """What was found, as plain text for a terminal."""

    def figure(self, found: Found, call: ProbeCall) -> Any:  # noqa: ARG002
        """A plotly figure of what was found; None where the page draws it by itself."""
        return None

    @property
    def tracks(self) -> bool:
        """Whether it tracks the probability of an answer that the user can choose."""
        return any(flag.name == ANSWER.name for flag in self.flags)

    def option(self, call: ProbeCall, name: str) -> Any:
        """What a person gave for an option, or its default; `name` is that of one of `flags`."""
        (flag,) = [flag for flag in self.flags if flag.name == name]
        value = call.options.get(name)
        return flag.default if value is None else value


PROBES: Registry[Probe] = Registry("probe")
register = PROBES.register


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, a true minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def layers_named(first: int, last: int) -> str:
    """A range of layers in words."""
    return f"layer {first}" if first == last else f"layers {first} to {last}"


def charts() -> Any:
    """The module that draws what probes find, which needs plotly.

    Raises:
        InputError: If plotly is not installed.
    """
    return need("vif.charts.probes", "app")
