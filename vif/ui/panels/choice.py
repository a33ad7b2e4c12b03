"""Which methods are compared, what each does and costs, and its own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from vif import methods
from vif.charts.style import method_label
from vif.errors import InputError
from vif.inputs.schema import MOST_METHODS
from vif.methods import Method, Option
from vif.methods.composites import PLUS, parts
from vif.methods.edits.base import EDITS
from vif.methods.maps.base import MAPS
from vif.session import Session
from vif.ui.actions.ask import steering_method
from vif.ui.html.templates import fill
from vif.ui.html.words import counted
from vif.ui.panels import inputs
from vif.ui.state.form import check_methods, uses_ranges
from vif.ui.theme import script
from vif.ui.tones import colour_classes


@dataclass(frozen=True)
class OwnSettings:
    """The settings of single methods.

    Attributes:
        panels: One folded panel for each method, map or edit that has settings, by the names of
            `vif.methods.composites.parts`.
        fields: Its sliders, with the names of their panel and option.
    """

    panels: dict[str, gr.Accordion]
    fields: list[tuple[str, str, gr.Slider]]

    @property
    def sliders(self) -> list[Component]:
        """The sliders of all methods, as inputs of an event."""
        return [slider for *_, slider in self.fields]

    def gather(
        self, data: Mapping[Component, Any], chosen: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Returns the values of sliders by chosen method and option, from values by component."""
        return {
            name: {option: data[slider] for option, slider in self.of(name)}
            for name in chosen
            if any(self.of(name))
        }

    def of(self, method: str) -> list[tuple[str, gr.Slider]]:
        """Names and sliders of a method's options."""
        own = parts(method)
        return [(option, slider) for panel, option, slider in self.fields if panel in own]


def first_choice(session: Session) -> list[str]:
    """Returns the methods that are compared by default: the plain model and VIF."""
    return ["plain", steering_method(session).name]


def chosen_for(session: Session, chosen: Sequence[str]) -> list[str]:
    """Returns the chosen methods that a model supports, with VIF in the form that it supports."""
    steering = steering_method(session).name
    fitting = (steering if name in ("vif", "vif-free") else name for name in chosen)
    return [name for name in dict.fromkeys(fitting) if not _obstacle(session, methods.find(name))]


def build_menu(session: Session) -> gr.HTML:
    """The menu of methods; its value is a list of the names that are chosen."""
    chosen = first_choice(session)
    return gr.HTML(
        chosen,
        html_template="<div>${lines}</div><div>${menu}</div>",
        js_on_load=script("methods.js"),
        apply_default_css=False,
        elem_id="methods",
        lines=method_lines(chosen),
        menu=menu_html(session),
        most=MOST_METHODS,
    )


def menu_html(session: Session) -> str:
    """All methods by group; those that cannot work with the model are greyed and say why."""
    groups = [
        (group, [(one, cost(one), _obstacle(session, one)) for one in listed])
        for group, listed in methods.grouped().items()
    ]
    maps = [(one, one.obstacle(session.backbone, session.adapter)) for one in MAPS.values()]
    composite, most = methods.Group.COMPOSITE, MOST_METHODS
    return fill("methods", groups=groups, maps=maps, edits=EDITS, composite=composite, most=most)


def _obstacle(session: Session, method: Method) -> str:
    return method.obstacle(session.backbone, session.adapter)


def menu_for(session: Session, chosen: Sequence[str]) -> gr.HTML:
    """The update of the menu for a model."""
    fitting = chosen_for(session, chosen)
    return gr.HTML(fitting, lines=method_lines(fitting), menu=menu_html(session))


def build_own_settings() -> OwnSettings:
    """One folded panel per method, map or edit with settings; those of chosen ones are shown."""
    panels, fields = {}, []
    titled = [
        (name, f"{method_label(name)} settings", methods.find(name)) for name in methods.names()
    ]
    titled += [
        (f"{one.name}{PLUS}", f"Settings of the map '{one.name}'", one) for one in MAPS.values()
    ]
    titled += [
        (f"{PLUS}{one.name}", f"Settings of the edit '{one.name}'", one) for one in EDITS.values()
    ]
    for name, title, source in titled:
        if not source.options:
            continue
        with gr.Accordion(title, open=False, visible=False, elem_id=f"own-{name}") as panel:
            fields += [(name, option.name, _slider(option)) for option in source.options]
        panels[name] = panel
    return OwnSettings(panels, fields)


def _slider(option: Option) -> gr.Slider:
    """One setting; its reset button restores the default."""
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
    colours = colour_classes(chosen)
    lines = [
        (name, colours[name], methods.find(name).summary, cost(methods.find(name)))
        for name in chosen
    ]
    return fill("method_lines", problem=problem, lines=lines)


def cost(method: Method) -> str:
    """What a method costs besides its own answer."""
    parts = []
    if method.extra_passes:
        parts.append(counted(method.extra_passes, "extra pass", "es"))
    if method.branches:
        parts.append(f"{counted(method.branches, 'extra pass', 'es')} per token")
    return f"Costs {' and '.join(parts)}." if parts else "No extra passes."


def updates_for_choice(own: OwnSettings, chosen: Sequence[str]) -> list[Any]:
    """Updates of the menu's lines, the shared settings and every own panel."""
    shown = {part for name in chosen for part in parts(name)}
    return [
        gr.HTML(lines=method_lines(chosen)),
        gr.Accordion(visible=uses_ranges(chosen)),
        *(gr.Accordion(visible=name in shown) for name in own.panels),
    ]
