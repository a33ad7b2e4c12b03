"""The schema of questions and settings from outside, shared by page, endpoint and commands.

Its messages are made here alone: what was given, what was expected, and the cure.
"""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import Repr
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vif.errors import InputError
from vif.inputs.boxes import Box, as_box
from vif.inputs.text import MAX_CHARACTERS, MAX_CONTEXT_CHARACTERS, clean_question
from vif.settings import MOST_NEW_TOKENS, MOST_SEED, Settings

# Limits of the page and its endpoint, where other users wait.
MOST_METHODS, MOST_TOKENS = 4, 512
REQUEST_SECONDS = 60.0
MOST_LAYER, MOST_SAMPLES, MOST_BOXES = 999, 64, 200
MOST_ANSWER = 200
_MOST_NAMED = 64
_SHOWN_CHARACTERS = 60

_shortened = Repr()
_shortened.maxstring = _shortened.maxother = 40
_shortened.maxlevel, _shortened.maxlist, _shortened.maxdict = 2, 4, 4


def _integral(value: Any) -> Any:
    """A float that is a whole number as one; JSON and number boxes know no other."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _readable(text: str) -> str:
    """A question that holds something to read."""
    clean_question(text)
    return text


def _between(title: str, low: int, high: int) -> Any:
    """The limits of a whole number."""
    words = f"a whole number from {low:,} to {high:,}"
    return Field(title=title, description=words, ge=low, le=high)


Whole = Annotated[int, BeforeValidator(_integral)]
Name = Annotated[str, Field(min_length=1, max_length=_MOST_NAMED)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]
Corners = Annotated[list[Share], Field(min_length=4, max_length=4)]
Text = Annotated[
    str,
    Field(
        title="The question",
        min_length=1,
        max_length=MAX_CHARACTERS,
        description=f"a text of 1 to {MAX_CHARACTERS:,} characters",
    ),
    AfterValidator(_readable),
]
Methods = Annotated[
    list[Name],
    Field(
        title="The list of methods",
        min_length=1,
        max_length=_MOST_NAMED,
        description='a list of names such as ["plain", "vif"]',
    ),
]


Read = TypeVar("Read", bound="UncheckedInput")


class UncheckedInput(BaseModel):
    """Values from outside that are not checked yet."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def read(cls: type[Read], values: Mapping[str, Any]) -> Read:
        """Reads what came from outside.

        Raises:
            InputError: If anything is missing, of another kind, or out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise InputError(_words(cls, error.errors(include_url=False)[0])) from None


class SettingsInput(UncheckedInput):
    """Settings of one question; one that is left out is the session's own."""

    learning_start: Annotated[Whole, _between("Learning layers from", 0, MOST_LAYER)] = 0
    learning_end: Annotated[Whole, _between("Learning layers to", 0, MOST_LAYER)] = 0
    injection_start: Annotated[Whole, _between("Injection layers from", 0, MOST_LAYER)] = 0
    injection_end: Annotated[Whole, _between("Injection layers to", 0, MOST_LAYER)] = 0
    stride: Annotated[Whole, _between("Use every n-th layer", 1, MOST_LAYER)] = 1
    alpha: Annotated[
        float,
        Field(
            title="Strength",
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="a number from 0 to 1",
        ),
    ] = 0.0
    samples: Annotated[Whole, _between("Latent samples", 0, MOST_SAMPLES)] = 0
    seed: Annotated[Whole, _between("Seed", 0, MOST_SEED)] = 0
    max_new_tokens: Annotated[Whole, _between("Longest answer", 1, MOST_NEW_TOKENS)] = 1
    phase: Annotated[
        str, Field(title="The phase", pattern="^(both|prefill)$", description="both or prefill")
    ] = "both"
    options: Annotated[
        dict[Name, Annotated[dict[Name, Number], Field(max_length=_MOST_NAMED)]],
        Field(
            title="The settings of single methods",
            max_length=_MOST_NAMED,
            description='numbers by method and name such as {"pai": {"alpha": 0.3}}',
        ),
    ] = {}

    def settings(self, defaults: Settings | None = None) -> dict[str, Any]:
        """The settings that were given, by the names of `Settings`, for a session to be asked with.

        Args:
            defaults: Stand in for the ends of a range that were left out.
        """
        defaults = defaults or Settings()
        found = {}
        for name in ("learning", "injection"):
            ends = (f"{name}_start", f"{name}_end")
            if self.model_fields_set & set(ends):
                found[name] = tuple(
                    getattr(self, end) if end in self.model_fields_set else default
                    for end, default in zip(ends, getattr(defaults, name), strict=True)
                )
        single = ("stride", "alpha", "samples", "seed", "max_new_tokens", "phase", "options")
        return found | {n: getattr(self, n) for n in single if n in self.model_fields_set}


class QuestionInput(SettingsInput):
    """One question with its settings."""

    question: Text
    context: Annotated[
        str,
        Field(
            title="The text before the question",
            max_length=MAX_CONTEXT_CHARACTERS,
            description=f"a text of at most {MAX_CONTEXT_CHARACTERS:,} characters",
        ),
    ] = ""
    methods: Methods = ["plain"]
    look: Annotated[
        list[Corners],
        Field(
            title="The place to look at",
            max_length=MOST_BOXES,
            description=f"at most {MOST_BOXES} boxes [x0, y0, x1, y1], each side from 0 to 1",
        ),
    ] = []

    @property
    def boxes(self) -> list[Box]:
        """The place to look at, as boxes."""
        return [as_box(corners) for corners in self.look]


class TrackedAnswerInput(UncheckedInput):
    """A question and the answer whose probability is tracked; empty: the model's own."""

    question: Text
    answer: Annotated[
        str,
        Field(
            title="The answer",
            max_length=MOST_ANSWER,
            description=f"a text of at most {MOST_ANSWER:,} characters",
        ),
    ] = ""


class PublicQuestionInput(QuestionInput):
    """One question where others wait: fewer methods, shorter answers."""

    # Must be given here, unlike in the class above.
    methods: Annotated[  # pyright: ignore[reportGeneralTypeIssues]
        list[Name],
        Field(
            title="The list of methods",
            min_length=1,
            max_length=MOST_METHODS,
            description=f'a list of 1 to {MOST_METHODS} names such as ["plain", "vif"]',
        ),
    ]
    max_new_tokens: Annotated[Whole, _between("Longest answer", 1, MOST_TOKENS)] = 1


def shortened(value: Any) -> str:
    """A value as a message may repeat it."""
    words = "empty" if value is None or value == "" else _shortened.repr(value)
    return words if len(words) <= _SHOWN_CHARACTERS else f"{words[:_SHOWN_CHARACTERS]}..."


def _words(schema: type[UncheckedInput], problem: Any) -> str:
    """The one sentence on what is wrong with a field."""
    name, *inside = problem["loc"]
    field = schema.model_fields.get(name)
    if field is None:
        known = ", ".join(schema.model_fields)
        return f"There is no setting {shortened(name)}, expected one of {known}: remove it."
    where = "".join(f"[{shortened(part)}]" for part in inside if part != "[key]")
    if problem["type"] == "missing":
        return f"{field.title} ({name}) is missing, expected {field.description}: give it."
    if problem["type"] == "string_too_long" and not inside:
        return (
            f"{field.title} ({name}{where}) has {len(problem['input']):,} characters, expected "
            f"{field.description}: shorten it."
        )
    given = shortened(problem["input"])
    cure = "fill it in" if given == "empty" else "change it"
    return f"{field.title} ({name}{where}) is {given}, expected {field.description}: {cure}."
