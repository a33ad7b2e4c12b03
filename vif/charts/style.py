"""Labels, colours and layout of every Plotly figure.

Methods bring their own labels and colours. Text and lines use tones that stay readable on a white
and on a near-black page, because a figure does not know on which it lies.
"""

from __future__ import annotations

from plotly import graph_objects as go

from vif import methods

# One colour per answer, the same on the page; methods without their own take these in turn.
OTHER_COLOURS = ("#7d66d9", "#0d8f7e", "#d0488a", "#64911a")
LEARNING_COLOUR = "#2f7fc1"
# Answers that no method gives by its name.
_OTHER_LABELS = {"changed": "Changed mixture"}
TEXT_COLOUR = "#7a8698"
_GRID = "rgba(122, 134, 152, 0.22)"
_FONT = "IBM Plex Sans, ui-sans-serif, system-ui, sans-serif"


def method_label(method: str) -> str:
    """Returns the name of a method for people."""
    return _OTHER_LABELS.get(method) or methods.label(method)


def method_colour(method: str, position: int = 0) -> str:
    """Returns the colour of a method, the same in every figure.

    Args:
        method: Name of the method.
        position: Its place among the answers; decides the colour of methods without their own.
    """
    return methods.colour(method) or OTHER_COLOURS[position % len(OTHER_COLOURS)]


PLAIN_COLOUR = method_colour("plain")
INJECTION_COLOUR = method_colour("vif")


def dress(figure: go.Figure) -> None:
    """Gives a figure the look of all figures: colours, fonts, margins, a legend underneath."""
    figure.update_layout(
        margin={"l": 62, "r": 16, "t": 34, "b": 84},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": _FONT, "size": 12.5, "color": TEXT_COLOUR},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
        },
        hoverlabel={"bgcolor": "#1f2933", "font": {"color": "#f5f7fa"}},
    )
    # Titles of panels are annotations too, the only ones placed on the paper.
    figure.update_annotations(
        {"x": 0, "xanchor": "left", "font": {"size": 13, "color": TEXT_COLOUR}},
        selector={"xref": "paper"},
    )
    axis = {"gridcolor": _GRID, "zeroline": False, "linecolor": _GRID, "fixedrange": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)


def axis_title(words: str) -> dict[str, object]:
    """An axis title in the size of the ticks."""
    return {"text": words, "font": {"size": 12.5}}
