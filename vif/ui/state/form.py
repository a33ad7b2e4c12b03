"""The filled-in form and its question. Independent of Gradio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from typing import Any

from vif import methods
from vif.charts.style import method_label
from vif.errors import InputError
from vif.inputs.boxes import Box
from vif.inputs.images import ImageSource, open_image
from vif.inputs.schema import MOST_METHODS, PublicQuestionInput, SettingsInput
from vif.inputs.video import is_video, read_frames
from vif.question import Question
from vif.settings import Settings
from vif.ui.state.drawing import Drawing

# Images beside the picture, and frames of a video, that one request has the time for.
MOST_BESIDE, FRAMES = 7, 8


@dataclass(frozen=True, eq=False)
class Truth:
    """The known answer to a question about a drawn scene.

    Attributes:
        question: The question it belongs to.
        answer: The right answer.
        boxes: Where the asked objects are (x0, y0, x1, y1), in [0, 1] image coordinates.
        scene: Seed of the drawn scene, if it is one that a seed draws again.
        picture: Fingerprint of the picture that it is about; "" where that is not told.
    """

    question: str
    answer: str
    boxes: tuple[Box, ...] = ()
    scene: int | None = None
    picture: str = ""

    def same_as(self, other: Truth) -> bool:
        """Whether both are the same question about the same place."""
        return self.question == other.question and self.boxes == other.boxes


def truth_of(question: str | None, truths: Sequence[Truth]) -> Truth | None:
    """Returns the known answer to a question, if it is among those of the picture."""
    return next((t for t in truths if t.question == (question or "").strip()), None)


def video_of(files: Sequence[str] | None) -> str | None:
    """Returns the video, if the files beside a picture are one video and nothing else."""
    return files[0] if files and len(files) == 1 and is_video(files[0]) else None


def fingerprint(image: ImageSource) -> str:
    """Returns what tells a picture from others: a hash of its pixels."""
    opened = open_image(image)
    return sha256(repr(opened.size).encode() + opened.tobytes()).hexdigest()


class HasTruth:
    """Base of classes that may know the right answer.

    Attributes:
        truth: The known answer, if there is one.
    """

    truth: Truth | None

    @property
    def known(self) -> Truth:
        """The right answer.

        Raises:
            ValueError: If it is not.
        """
        if self.truth is None:
            raise ValueError("The right answer is unknown.")
        return self.truth


@dataclass(frozen=True)
class Form:
    """The fields of the form, as they were filled in.

    Numbers are None where a person emptied the field.

    Attributes:
        chosen: Names of the methods to compare.
        own: Settings of single methods, of all methods that have some.
        drawing: What was marked on the picture.
        beside: Files of other images, or of one video whose frames they are.
        number: Which of all images the picture is, from 1.
    """

    image: ImageSource | None
    question: str
    context: str
    chosen: Sequence[str]
    learning_start: float | None
    learning_end: float | None
    injection_start: float | None
    injection_end: float | None
    stride: float | None
    alpha: float
    samples: float
    seed: float | None
    max_new_tokens: float | None
    own: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    drawing: Drawing = field(default_factory=Drawing)
    beside: Sequence[str] | None = None
    number: float | None = 1

    @property
    def picture(self) -> ImageSource:
        """The picture.

        Raises:
            InputError: If there is none.
        """
        if self.image is None:
            raise InputError("There is no picture: upload one or draw a new scene.")
        return self.image

    @property
    def place(self) -> int:
        """How many of the other images come before the picture."""
        return max(0, int(self.number or 1) - 1)

    @property
    def has_video(self) -> bool:
        """Whether the other images are the frames of a video."""
        return video_of(self.beside) is not None

    def about(self, **known: Any) -> Question:
        """Returns the question with its images.

        Args:
            **known: Its other fields, see `Question`.

        Raises:
            InputError: If there is no picture, or a video cannot be read.
        """
        others: list[Any] = list(self.beside or ())
        if self.has_video:
            others = [frame.image for frame in read_frames(others[0], FRAMES)]
            # The picture is the chosen frame.
            del others[self.place]
        place = min(self.place, len(others))
        given = {
            "image": self.picture,
            "text": self.question,
            "context": self.context or "",
            "others": tuple(others),
            "place": place,
        }
        return Question(**{**given, **known})

    def check(self) -> None:
        """Raises `InputError` unless there is a picture and a question."""
        _ = self.picture
        if not (self.question or "").strip():
            raise InputError("There is no question: type one or click a suggestion.")

    def shown(self, defaults: Settings) -> Form:
        """Returns the form with defaults in the fields that the page hides for what is chosen."""
        if uses_ranges(self.chosen):
            return self
        (first, last), (start, end) = defaults.learning, defaults.injection
        return replace(
            self,
            learning_start=first,
            learning_end=last,
            injection_start=start,
            injection_end=end,
            stride=defaults.stride,
            alpha=defaults.alpha,
            samples=defaults.samples,
        )

    def truths_of(self, truths: Sequence[Truth]) -> list[Truth]:
        """Returns the known answers that are about the picture.

        A run may start before the page has heard that another picture was uploaded.
        """
        if not any(t.picture for t in truths):
            return list(truths)
        own = fingerprint(self.picture)
        return [t for t in truths if t.picture in ("", own)]

    def truth_in(self, truths: Sequence[Truth]) -> Truth | None:
        """Returns the known answer to the question, if it is among those of the picture."""
        return truth_of(self.question, self.truths_of(truths))

    def settings(self) -> dict[str, Any]:
        """Returns what all methods share, as keyword arguments of a session's ``ask``.

        Raises:
            InputError: If anything that was filled in is missing or out of range.
        """
        known = SettingsInput.model_fields
        asked = PublicQuestionInput.read(
            {
                "question": self.question,
                "context": self.context or "",
                "methods": list(self.chosen),
                "options": {name: dict(self.own[name]) for name in self.chosen if name in self.own},
                "look": [list(box) for box in self.drawing.boxes],
                **{f.name: getattr(self, f.name) for f in fields(self) if f.name in known},
            }
        )
        shared = {name: v for name, v in asked.settings().items() if name != "options"}
        return {"context": asked.context, **shared}

    def ask_options(self, truth: Truth | None) -> dict[str, Any]:
        """Returns all keyword arguments of a session's ``ask``.

        Args:
            truth: The known answer to the question, for the method that is shown the true place.

        Raises:
            InputError: If something is missing, broken, or does not go together.
        """
        check_methods(self.chosen)
        asked = {**self.settings(), "methods": list(self.chosen), "options": self.options()}
        places = {methods.find(name).place for name in self.chosen}
        if "truth" in places:
            if truth is None or not truth.boxes:
                raise InputError(
                    f"{self._label_of('truth')} needs a question whose place is known: draw a "
                    "new scene and use one of its questions, or remove this method."
                )
            asked["boxes"] = truth.boxes
        if "look" in places:
            if self.drawing.is_empty:
                raise InputError(
                    "Nothing is marked: draw a box or paint on the picture under "
                    f"'{method_label('look')}', or remove {self._label_of('look')}."
                )
            asked["look"] = self.drawing.place()
        return asked

    def _label_of(self, place: str) -> str:
        """The first chosen method that needs a place, in quotes."""
        name = next(name for name in self.chosen if methods.find(name).place == place)
        return f"'{method_label(name)}'"

    def options_changed(self) -> bool:
        """Whether any own setting of a chosen method is not its default."""
        return any(
            value != option.default
            for name in self.chosen
            for option in methods.find(name).options
            if (value := self.own.get(name, {}).get(option.name, option.default)) is not None
        )

    def options(self) -> dict[str, dict[str, float]]:
        """Returns the settings of the chosen methods' own."""
        given = ((name, self.own.get(name)) for name in self.chosen)
        return {name: methods.find(name).resolve(changed) for name, changed in given if changed}


def uses_ranges(chosen: Sequence[str]) -> bool:
    """Returns whether layer ranges or strength change what any of the methods does."""
    return any(methods.find(name).uses_ranges for name in chosen)


def check_methods(chosen: Sequence[str]) -> None:
    """Raises `InputError` unless one to four methods are chosen."""
    if not chosen:
        raise InputError("No method is chosen: choose one, or two to four to compare.")
    if len(chosen) > MOST_METHODS:
        raise InputError(
            f"{len(chosen)} methods are chosen, expected at most {MOST_METHODS}: remove some."
        )
