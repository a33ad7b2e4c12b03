"""Gradio components that accept whatever a browser sends; their handlers refuse it in words."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta


class _Stubless(ComponentMeta):
    """Makes a component without the stub file that Gradio writes beside its source (6.31).

    Replacing a method on the object instead is lost with the first update, which makes the object
    anew from its class.
    """

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> type:
        return ABCMeta.__new__(cls, name, bases, attrs)


class Slider(gr.Slider, metaclass=_Stubless):
    """A slider whose number box may be empty or out of range while a person types."""

    def preprocess(self, payload: float | None) -> float:
        """Returns the value that the browser shows as soon as the box is left."""
        value = self.minimum if payload is None else payload
        return super().preprocess(min(max(value, self.minimum), self.maximum))


class Image(gr.Image, metaclass=_Stubless):
    """An image input that returns the path of the upload; `vif.ui.guard` has checked it.

    `gr.Image` opens the file first and, if it is not an image, fails with a message of its own.
    """

    def preprocess(self, payload: Any) -> str | None:
        """Returns the path of the file, None if there is no picture."""
        return None if payload is None else payload.path


class File(gr.File, metaclass=_Stubless):
    """A file input that returns the paths of the uploads.

    `gr.File` fails on a file of another kind with a message of its own.
    """

    def preprocess(self, payload: Any) -> list[str]:
        """Returns the paths of the uploaded files."""
        files = getattr(payload, "root", None) or []
        return [file.path for file in files]


class JSON(gr.JSON, metaclass=_Stubless):
    """JSON with a schema for programs; the one that Gradio 6.31 publishes is invalid."""

    def __init__(
        self, value: Any = None, *, form: dict[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(value, **options)
        self.form = form or {}

    def api_info(self) -> dict[str, Any]:
        """Returns the JSON schema."""
        return self.form


class Number(gr.Number, metaclass=_Stubless):
    """A number that is passed on as it was sent; `vif.inputs.schema` checks it."""

    def preprocess(self, payload: Any) -> Any:
        """Returns what was sent: `gr.Number` would round it, and fail on anything else."""
        return payload


class Textbox(gr.Textbox, metaclass=_Stubless):
    """A text that is passed on as it was sent; `vif.inputs.schema` checks it."""

    def preprocess(self, payload: Any) -> Any:
        """Returns what was sent: `gr.Textbox` would convert everything to text."""
        return payload


class Dropdown(gr.Dropdown, metaclass=_Stubless):
    """A choice that is passed on as it was sent; `vif.inputs.schema` checks it."""

    def preprocess(self, payload: Any) -> Any:
        """Returns what was sent: `gr.Dropdown` would refuse what is not in its list."""
        return payload
