"""Which methods are compared, what each does and costs, and its own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from vif import methods
from vif.draw.charts import method_label
from vif.errors import InputError
from vif.methods import Method, Option
from vif.ui.actions.ask import Session, steering_method
from vif.ui.html.answers import SUBTITLES
from vif.ui.html.templates import fill
from vif.ui.html.words import counted, tones
from vif.ui.panels import inputs
from vif.ui.state.form import check_methods, uses_ranges
from vif.ui.theme import html_block

# First in the menu; the rest follows by name.
_FIRST = ("plain", "vif", "vif-free", "look", "oracle", "uniform", "random")


@dataclass(frozen=True)
class OwnSettings:
    """The settings of single methods.

    Attributes:
        panels: One folded panel for each method that has settings.
        fields: Its sliders, with the names of their method and option.
    """

    panels: dict[str, gr.Accordion]
    fields: list[tuple[str, str, gr.Slider]]

    @property
    def sliders(self) -> list[gr.components.Component]:
        """All sliders, as inputs."""
        return [slider for *_, slider in self.fields]

    def gather(self, data: Mapping[gr.components.Component, Any]) -> dict[str, dict[str, Any]]:
        """Returns the values of all sliders by method and option, from values by component."""
        found: dict[str, dict[str, Any]] = {name: {} for name in self.panels}
        for method, option, slider in self.fields:
            found[method][option] = data[slider]
        return found


def first_choice(session: Session) -> list[str]:
    """Returns what is compared until a person chooses: the plain model and VIF."""
    return ["plain", steering_method(session).name]


def chosen_for(session: Session, chosen: Sequence[str]) -> list[str]:
    """Returns a choice with the form of VIF that a model can answer by."""
    steering = steering_method(session).name
    fitting = (steering if name in ("vif", "vif-free") else name for name in chosen)
    return list(dict.fromkeys(fitting))


def build_menu(session: Session) -> tuple[gr.Dropdown, gr.HTML]:
    """The menu of methods, and a line on each that is chosen."""
    others = sorted(set(methods.names()) - set(_FIRST), key=lambda n: method_label(n).lower())
    chosen = first_choice(session)
    menu = gr.Dropdown(
        [(method_label(name), name) for name in (*_FIRST, *others)],
        value=chosen,
        multiselect=True,
        label="Compare",
        elem_id="methods",
    )
    return menu, html_block(method_lines(chosen), elem_id="method-lines")


def build_own_settings() -> OwnSettings:
    """One folded panel per method with settings; only those of chosen methods are shown."""
    panels, fields = {}, []
    for name in methods.names():
        method = methods.find(name)
        if not method.options:
            continue
        with gr.Accordion(
            f"{method_label(name)} settings", open=False, visible=False, elem_id=f"own-{name}"
        ) as panel:
            fields += [(name, option.name, _slider(option)) for option in method.options]
        panels[name] = panel
    return OwnSettings(panels, fields)


def _slider(option: Option) -> gr.Slider:
    """One setting; its reset button brings the default back."""
    return inputs.Slider(
        option.low,
        option.high,
        option.default,
        step=option.step,
        label=option.name.replace("_", " ").capitalize(),
        info=option.text,
    )


def method_lines(chosen: Sequence[str]) -> str:
    """What each chosen method does and costs; a problem with the choice comes first."""
    try:
        check_methods(chosen)
    except InputError as error:
        problem = str(error)
    else:
        problem = ""
    colours = tones(chosen)
    lines = [
        (name, colours[name], _does(methods.find(name)), cost(methods.find(name)))
        for name in chosen
    ]
    return fill("method_lines", problem=problem, lines=lines)


def _does(method: Method) -> str:
    """What a method does, as a sentence."""
    words = SUBTITLES.get(method.name, method.summary)
    return words[:1].upper() + words[1:].rstrip(".") + "."


def cost(method: Method) -> str:
    """What a method costs besides its own answer."""
    parts = []
    if method.extra_passes:
        parts.append(counted(method.extra_passes, "extra pass", "es"))
    if method.branches:
        parts.append(f"{counted(method.branches, 'extra pass', 'es')} per token")
    return f"Costs {' and '.join(parts)}." if parts else "No extra pass."


def follow(own: OwnSettings, chosen: Sequence[str]) -> list[Any]:
    """Updates of the lines, the shared settings and every own panel."""
    return [
        method_lines(chosen),
        gr.Accordion(visible=uses_ranges(chosen)),
        *(gr.Accordion(visible=name in chosen) for name in own.panels),
    ]
