"""The settings of one question, checked once, with their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from typing_extensions import Unpack

from vif.errors import InputError

Range = tuple[int, int]
PHASES = ("both", "prefill")
# An answer holds its place in the queue until it ends; a seed has to fit PyTorch's 64 bits.
MOST_NEW_TOKENS, MOST_SEED = 4096, 2**63 - 1


class SettingChanges(TypedDict, total=False):
    """Changes to settings, by name; see `Settings`. None leaves a setting unchanged."""

    learning: Range | None
    injection: Range | None
    stride: int | None
    alpha: float | None
    samples: int | None
    seed: int | None
    max_new_tokens: int | None
    phase: str | None
    options: Mapping[str, Mapping[str, float]] | None


@dataclass(frozen=True)
class Settings:
    """How a question is asked: layers, strength, seed, length of the answer.

    Attributes:
        learning: First and last layer that the latent is read from, inclusive, 0-based.
        injection: First and last layer that the map is injected into, inclusive.
        stride: Stride of both ranges: use every n-th layer.
        alpha: Strength of the injection, in [0, 1].
        samples: 0 uses the latent's mean; n > 0 averages the maps of n seeded samples.
        seed: Of the samples and of the random control.
        max_new_tokens: Longest answer in tokens.
        phase: ``"both"`` steers the prompt and what is generated, ``"prefill"`` the prompt only, as
            published.
        options: Settings of individual methods, e.g. ``{"pai": {"alpha": 0.3}}``; see
            `vif.methods.Method.options`. They are checked when the method is used.
        attention_layers: Layers of the model that have attention, if not all have; the session
            fills them in. Only these can be steered.
    """

    learning: Range = (3, 4)
    injection: Range = (5, 7)
    stride: int = 1
    alpha: float = 0.5
    samples: int = 0
    seed: int = 0
    max_new_tokens: int = 32
    phase: str = "both"
    options: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    attention_layers: tuple[int, ...] | None = None

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings that a user may choose, by name; see `SettingChanges`."""
        return {name: getattr(self, name) for name in SettingChanges.__annotations__}

    def changed(self, **changes: Unpack[SettingChanges]) -> Settings:
        """Returns a copy with some settings changed; None leaves a setting unchanged.

        Raises:
            InputError: If no setting has the given name.
        """
        known = SettingChanges.__annotations__
        for name in changes:
            if name not in known:
                raise InputError(f"Unknown setting {name!r}: expected one of {', '.join(known)}.")
        return replace(self, **{name: v for name, v in changes.items() if v is not None})

    def check(self, num_layers: int) -> None:
        """Raises `InputError` unless the settings make sense for a model of so many layers."""
        for name, least in (("stride", 1), ("samples", 0), ("max_new_tokens", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least {least}.")
        for name, most in (("max_new_tokens", MOST_NEW_TOKENS), ("seed", MOST_SEED)):
            if getattr(self, name) > most:
                raise InputError(f"{name} is {getattr(self, name)}, expected at most {most}.")
        for name, chosen in (("learning", self.learning), ("injection", self.injection)):
            _check_range(name, chosen, num_layers)
        if not self.injection_layers:
            raise InputError(
                f"The injection range {_show(self.injection)} contains no layer with attention; "
                "this model has attention in layers "
                f"{', '.join(map(str, self.attention_layers or ()))}."
            )
        if self.learning_layers[-1] >= self.injection_layers[0]:
            raise InputError(
                f"The learning range {_show(self.learning)} must end before the injection range "
                f"{_show(self.injection)} begins: a map must be read before it is injected."
            )
        if not 0 <= self.alpha <= 1:
            raise InputError(f"Alpha is {self.alpha:g}, expected a number from 0 to 1.")
        if self.phase not in PHASES:
            raise InputError(f"Phase is {self.phase!r}, expected one of {', '.join(PHASES)}.")

    @property
    def learning_layers(self) -> list[int]:
        """Layers the latent is read from."""
        return list(range(self.learning[0], self.learning[1] + 1, self.stride))

    @property
    def injection_layers(self) -> list[int]:
        """Layers the map is injected into: every stride-th of those with attention."""
        return self._with_attention(self.injection)[:: self.stride]

    def _with_attention(self, chosen: Range) -> list[int]:
        layers = range(chosen[0], chosen[1] + 1)
        return [n for n in layers if self.attention_layers is None or n in self.attention_layers]

    def sources(self) -> dict[int, int]:
        """Learning layer whose map each injection layer injects, by injection layer.

        The two lists are paired in order, as published. If their lengths differ, the shorter one
        is stretched (the published code moves the injection range instead).
        """
        learning, injection = self.learning_layers, self.injection_layers
        return {
            layer: learning[i * len(learning) // len(injection)]
            for i, layer in enumerate(injection)
        }


def _check_range(name: str, chosen: Range, num_layers: int) -> None:
    first, last = chosen
    if first > last:
        raise InputError(
            f"The {name} range is {_show(chosen)}, expected its first layer to be at most its last."
        )
    if first < 0 or last >= num_layers:
        raise InputError(
            f"The {name} range is {_show(chosen)}, but the model has layers 0 to {num_layers - 1}."
        )


def _show(chosen: Range) -> str:
    return f"{chosen[0]} to {chosen[1]}"
