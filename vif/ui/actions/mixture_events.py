"""What a click on the mixture changes: which one, how much of it, and its components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from vif.ui.actions.changing import Key, changes_of, component_of, numbers_for
from vif.ui.actions.handlers import view_of
from vif.ui.actions.redraw import draw_maps, picked
from vif.ui.html.mixtures import chosen_mixture, mixture_panel
from vif.ui.state.components import Changes
from vif.ui.state.result import MixtureView, Result, View

# After the result, the token and the view: whose, injected, shown, chosen, changes.
_OWN = 5


@dataclass(frozen=True)
class Shown:
    """Everything that says which mixture is shown how.

    Attributes:
        result: The answers, or None before the first run.
        view: Colours and scale.
        choice: Which mixture.
        made: What was changed, by answer and injection layer.
    """

    result: Result | None
    view: View
    choice: MixtureView
    made: dict[Key, Changes]

    @classmethod
    def read(cls, values: Sequence[Any]) -> Shown:
        """Reads the page's inputs in the order of `Wiring.mixture_inputs`."""
        result, token, *rest = values
        whose, index, shown, chosen, made = rest[-_OWN:]
        choice = MixtureView(whose or "", int(index or 0), int(shown), chosen)
        return cls(result, view_of(token, *rest[:-_OWN]), choice, made or {})

    def panel(self) -> str:
        """The panel for it."""
        changes = changes_of(self.made, self.result, self.choice)
        return mixture_panel(self.result, self.view, self.choice, changes)

    def numbers(self) -> list[gr.Number]:
        """The four fields of the highlighted component."""
        changes = changes_of(self.made, self.result, self.choice)
        return numbers_for(changes, component_of(self.result, self.choice))

    def with_choice(self, choice: MixtureView) -> Shown:
        """The same with another component or mixture."""
        return Shown(self.result, self.view, choice, self.made)

    def with_changes(self, changes: Changes) -> Shown:
        """The same with other changes of the shown mixture."""
        key = chosen_mixture(self.result, self.choice)
        return Shown(self.result, self.view, self.choice, {**self.made, key: changes})


def draw_mixture(*values: Any) -> Any:
    """The panel of the chosen injection layer."""
    shown = Shown.read(values)
    return gr.skip() if shown.result is None else shown.panel()


def draw_maps_and_mixture(*values: Any) -> Any:
    """Everything that uses the colours."""
    return *draw_maps(*values[:-_OWN]), draw_mixture(*values)


def choose_layer(*values: Any) -> tuple[Any, ...]:
    """Another injection layer: panel and fields."""
    shown = Shown.read(values)
    if shown.result is None:
        return (gr.skip(),) * 5
    return shown.panel(), *shown.numbers()


def choose_answer(*values: Any) -> tuple[Any, ...]:
    """Another answer's mixtures: their layers, panel and fields."""
    shown = Shown.read(values)
    if shown.result is None:
        return (gr.skip(),) * 6
    shown = shown.with_choice(MixtureView(shown.choice.method, 0, shown.choice.shown, None))
    layers = layer_choices(shown.result, shown.choice)
    return gr.Radio(layers, value=0), shown.panel(), *shown.numbers()


def layer_choices(result: Result, choice: MixtureView) -> list[tuple[str, int]]:
    """Choices of the injection layer."""
    key = chosen_mixture(result, choice)
    if key is None:
        return []
    return [(f"Layer {m.layer}", i) for i, m in enumerate(result.traces[key[0]].mixtures)]


def take_component(event: gr.EventData, *values: Any) -> tuple[Any, ...]:
    """A component that was clicked, muted, singled out or dragged.

    Returns:
        The highlighted component, all changes, the panel and the four fields.
    """
    shown = Shown.read(values)
    rank = picked(event, shown.choice.shown)
    if shown.result is None or rank is None:
        return (gr.skip(),) * 7
    kind, old = event._data.get("kind"), shown.choice
    # A second click on a component's number lets it go; a change keeps it.
    is_same = rank == old.chosen and not kind
    shown = shown.with_choice(
        MixtureView(old.method, old.index, old.shown, None if is_same else rank)
    )
    index = component_of(shown.result, shown.choice)
    if index is not None and kind:
        shown = shown.with_changes(_changed(shown, kind, index, event._data))
    return shown.choice.chosen, shown.made, shown.panel(), *shown.numbers()


def _changed(shown: Shown, kind: str, index: int, data: dict[str, Any]) -> Changes:
    """What a click or a drag makes of a component; what comes from a browser may be anything."""
    changes = changes_of(shown.made, shown.result, shown.choice)
    if kind == "mute":
        return changes.mute(index)
    if kind == "solo":
        return changes.single_out(index)
    place = data.get("x"), data.get("y")
    if kind == "move" and all(isinstance(v, int | float) and v == v for v in place):
        return changes.put(index, *map(float, place))
    return changes


def type_numbers(*values: Any) -> tuple[Any, Any]:
    """Numbers that were typed for the highlighted component: all changes, and the panel."""
    *numbers, shown = *values[-4:], Shown.read(values[:-4])
    index = component_of(shown.result, shown.choice) if shown.result is not None else None
    if index is None or None in numbers:
        return gr.skip(), gr.skip()
    changes = changes_of(shown.made, shown.result, shown.choice)
    shown = shown.with_changes(changes.put(index, *map(float, numbers)))
    return shown.made, shown.panel()


def undo(*values: Any) -> tuple[Any, ...]:
    """The model's own mixtures again: no changes, the panel, the four fields."""
    shown = Shown.read(values)
    if shown.result is None:
        return (gr.skip(),) * 6
    shown = Shown(shown.result, shown.view, shown.choice, {})
    return {}, shown.panel(), *shown.numbers()
