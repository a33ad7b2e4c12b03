"""Metrics of attention to an image: one function per formula; arrays or a trace in, arrays out.

Knows nothing about models. What a trace does not hold (states, values, whole columns) is collected
by `vif.probes.read_internals` and handed over as arrays. Unless said otherwise a metric is taken by
layer, over the mean of the heads, for the row that predicts one generated token.
"""

from __future__ import annotations

from vif.metrics.amount import (
    attenuation,
    economy,
    image_share,
    image_weights,
    mean_weights,
    modality_dominance,
    others_share,
)
from vif.metrics.changes import divergence, next_token_divergence
from vif.metrics.content import contribution, sensitivity, total_sensitivity
from vif.metrics.dynamics import low_entropy_recall, token_dynamics, token_entropy
from vif.metrics.grid import base_grid
from vif.metrics.place import (
    box_coverage,
    in_box_mass,
    lift,
    near_box,
    pointing,
    points_into,
    token_at,
    window_ratio,
)
from vif.metrics.sinks import (
    activation_sinks,
    attention_sinks,
    cosine_sinks,
    massive_dimensions,
    sink_share,
    value_sinks,
)
from vif.metrics.spread import (
    component_entropy,
    effective_tokens,
    entropy_share,
    focus,
    gini,
    map_component_entropy,
    top_mass,
    visual_entropy,
)
from vif.metrics.summary import by_layer

__all__ = [
    "activation_sinks",
    "attention_sinks",
    "attenuation",
    "base_grid",
    "box_coverage",
    "by_layer",
    "component_entropy",
    "contribution",
    "cosine_sinks",
    "divergence",
    "economy",
    "effective_tokens",
    "entropy_share",
    "focus",
    "gini",
    "image_share",
    "image_weights",
    "in_box_mass",
    "lift",
    "low_entropy_recall",
    "map_component_entropy",
    "massive_dimensions",
    "mean_weights",
    "modality_dominance",
    "near_box",
    "next_token_divergence",
    "others_share",
    "pointing",
    "points_into",
    "sensitivity",
    "sink_share",
    "token_at",
    "token_dynamics",
    "token_entropy",
    "top_mass",
    "total_sensitivity",
    "value_sinks",
    "visual_entropy",
    "window_ratio",
]
