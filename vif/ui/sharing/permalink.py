"""A question and its view as the query of a URL, and back. Independent of Gradio.

A link carries no picture: it names an example or the seed of a drawn scene. Whoever has a picture
of their own saves the zip instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from vif.errors import InputError
from vif.inputs.boxes import Box, check_boxes
from vif.methods import find
from vif.settings import Settings
from vif.ui.state.form import check_methods
from vif.ui.state.view import View

# Servers and browsers take URLs of 8,000 characters; longer ones are cut somewhere.
MOST_CHARACTERS = 8000
MOST_SCENE, MOST_TEXT, MOST_BOXES, _MOST_FIELDS = 1_000_000, 2000, 20, 200
_RANGES, _WHOLE = ("learning", "injection"), ("stride", "samples", "seed", "max_new_tokens")


@dataclass(frozen=True)
class Link:
    """The contents of a link.

    Attributes:
        model: Name of the model that answered.
        example: Number of an example from 0, or None.
        scene: Seed of a drawn scene, or None.
        question: What to ask.
        text: Tokens of the page's unrelated text before the question.
        context: Other text before the question, instead of `text`.
        methods: Names of the methods.
        settings: Settings that differ from the model's defaults, by name.
        look: Boxes that a person marked, in [0, 1] image coordinates.
        view: How it is shown, as values of `View` that differ from its defaults.
    """

    model: str
    example: int | None = None
    scene: int | None = None
    question: str = ""
    text: int = 0
    context: str = ""
    methods: tuple[str, ...] = ("plain", "vif")
    settings: Mapping[str, Any] = field(default_factory=dict)
    look: tuple[Box, ...] = ()
    view: Mapping[str, Any] = field(default_factory=dict)

    def query(self) -> str:
        """Returns the query of the URL, without the question mark.

        Raises:
            InputError: If there is no picture that a link can name, or too much text.
        """
        if (self.example is None) == (self.scene is None):
            raise InputError(
                "A link can name an example or a drawn scene, but cannot contain a picture: "
                "save the zip to share answers about your own picture."
            )
        pairs: list[tuple[str, Any]] = [("model", self.model)]
        named = {"example": self.example, "scene": self.scene, "q": self.question}
        pairs += [(key, value) for key, value in named.items() if value not in (None, "")]
        pairs += [("text", self.text)] if self.text else []
        pairs += [("context", self.context)] if self.context else []
        pairs += [("methods", " ".join(self.methods))]
        for name, value in self.settings.items():
            if name == "options":
                pairs += [
                    ("set", f"{m}.{o}={v:g}") for m, own in value.items() for o, v in own.items()
                ]
            else:
                shown = f"{value[0]}-{value[1]}" if name in _RANGES else value
                pairs.append((name, shown))
        pairs += [("look", " ".join(f"{side:.4g}" for side in box)) for box in self.look]
        pairs += [(f"view.{name}", json.dumps(value)) for name, value in self.view.items()]
        found = urlencode(pairs)
        if len(found) > MOST_CHARACTERS:
            raise InputError(
                f"The link would have {len(found)} characters, but browsers accept at most "
                f"{MOST_CHARACTERS}: shorten the text before the question, or save the zip."
            )
        return found


def view_changes(view: View) -> dict[str, Any]:
    """Returns what of a view is not its default."""
    default = asdict(View())
    return {name: value for name, value in asdict(view).items() if value != default[name]}


def setting_changes(settings: Settings, defaults: Settings) -> dict[str, Any]:
    """Returns what of the settings is not the model's default."""
    usual = defaults.chosen
    return {name: value for name, value in settings.chosen.items() if value != usual[name]}


def read(query: str, model: str, defaults: Settings, num_layers: int, num_examples: int) -> Link:
    """Reads the query of a URL; ignores foreign keys such as ``__theme``.

    Args:
        query: Everything after the question mark.
        model: Name of the page's model.
        defaults: Settings of the page's model.
        num_layers: Of the page's model.
        num_examples: How many examples the page has.

    Raises:
        InputError: If it is too long, names another model, or holds something that this page
            cannot show; one sentence says which.
    """
    if len(query) > MOST_CHARACTERS:
        raise InputError(
            f"The link has {len(query)} characters, expected at most {MOST_CHARACTERS}."
        )
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise InputError(f"The link has more than {_MOST_FIELDS} parameters.") from error
    given = dict(pairs)
    if given.get("model", model) != model:
        raise InputError(
            f"The link was made with the model {given['model'][:80]!r}, but this page shows "
            f"{model!r}: open it on a page with that model, or ask this model again."
        )
    if "example" in given and not num_examples:
        raise InputError("The link names an example, but this page has no examples.")
    example = _number(given, "example", num_examples - 1) if "example" in given else None
    scene = _number(given, "scene", MOST_SCENE) if "scene" in given else None
    if (example is None) == (scene is None):
        raise InputError("The link must name an example or a scene, and not both.")
    settings = _settings(pairs, defaults, num_layers)
    methods = tuple(given.get("methods", "plain vif").split())
    check_methods(methods)
    for name in methods:
        find(name).resolve(settings.get("options", {}).get(name, {}))
    look = tuple(_box(value) for key, value in pairs if key == "look")
    if len(look) > MOST_BOXES:
        raise InputError(f"The link marks {len(look)} boxes, expected at most {MOST_BOXES}.")
    return Link(
        model=model,
        example=example,
        scene=scene,
        question=given.get("q", ""),
        text=_number(given, "text", MOST_TEXT) if "text" in given else 0,
        context=given.get("context", ""),
        methods=methods,
        settings=settings,
        look=look,
        view=_view(given, num_layers),
    )


def _settings(pairs: list[tuple[str, str]], defaults: Settings, num_layers: int) -> dict[str, Any]:
    """The settings of a link that differ from the defaults, checked together."""
    given = dict(pairs)
    found: dict[str, Any] = {name: _range(given, name) for name in _RANGES if name in given}
    found |= {name: _number(given, name) for name in _WHOLE if name in given}
    if "alpha" in given:
        found["alpha"] = _parse(given, "alpha", float, "a number from 0 to 1")
    if "phase" in given:
        found["phase"] = given["phase"]
    options: dict[str, dict[str, float]] = {}
    for _, value in (pair for pair in pairs if pair[0] == "set"):
        name, _, number = value.partition("=")
        method, _, option = name.rpartition(".")
        options.setdefault(method, {})[option] = _parse(
            {"set": number}, "set", float, "method.setting=number"
        )
    if options:
        found["options"] = options
    Settings(**{**defaults.chosen, **found}).check(num_layers)
    return found


def _view(given: Mapping[str, str], num_layers: int) -> dict[str, Any]:
    """The view of a link; names that this version does not know are left out."""
    found = {}
    for name, default in asdict(View()).items():
        key = f"view.{name}"
        if key not in given:
            continue
        value = _parse(given, key, json.loads, f"a value such as {json.dumps(default)}")
        if not isinstance(value, str | int | float | None):
            raise _wrong(given, key, f"a value such as {json.dumps(default)}")
        found[name] = value
    layer = found.get("layer")
    if isinstance(layer, int | float) and not 0 <= layer < num_layers:
        raise InputError(
            f"The link shows layer {layer:g}, but the model has layers 0 to {num_layers - 1}."
        )
    return found


def _number(given: Mapping[str, str], key: str, most: int = 2**63 - 1) -> int:
    """A whole number from 0 to `most`."""
    expected = f"a whole number from 0 to {most}" if most < 2**62 else "a whole number"
    # Python refuses very long numbers, with an error that is not meant for users.
    text = given[key]
    if not (text.isascii() and text.isdigit() and len(text) < 20) or int(text) > most:
        raise _wrong(given, key, expected)
    return int(text)


def _range(given: Mapping[str, str], key: str) -> tuple[int, int]:
    first, _, last = given[key].partition("-")
    ends = {"first": first, "last": last}
    try:
        return _number(ends, "first"), _number(ends, "last")
    except InputError:
        raise _wrong(given, key, "two layers such as 3-4") from None


def _box(text: str) -> Box:
    try:
        x0, y0, x1, y1 = map(float, text.split())
    except ValueError:
        raise _wrong({"look": text}, "look", "x0 y0 x1 y1, each from 0 to 1") from None
    check_boxes([(x0, y0, x1, y1)])
    return x0, y0, x1, y1


def _parse(given: Mapping[str, str], key: str, kind: Callable[[str], Any], expected: str) -> Any:
    try:
        return kind(given[key])
    except (ValueError, RecursionError):
        raise _wrong(given, key, expected) from None


def _wrong(given: Mapping[str, str], key: str, expected: str) -> InputError:
    return InputError(f"The link's {key} is {given[key][:40]!r}: expected {expected}.")
