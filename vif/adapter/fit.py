"""Whether an adapter fits a model."""

from __future__ import annotations

from vif.adapter.config import VIFConfig
from vif.errors import InputError
from vif.model.backbone import Backbone


def check_fit(config: VIFConfig, backbone: Backbone, called: str = "The adapter") -> None:
    """Raises `InputError` unless an adapter has the width, layers and heads of a model.

    Args:
        config: Of the adapter.
        backbone: The model.
        called: What the message calls the adapter.
    """
    text = backbone.text_config
    got = (config.hidden_size, config.num_layers, config.num_heads)
    want = (text.hidden_size, text.num_hidden_layers, text.num_attention_heads)
    if got != want:
        raise InputError(
            f"{called} was made for a model of width {got[0]} with {got[1]} layers of {got[2]} "
            f"heads, but {backbone.name} has width {want[0]} and {want[1]} layers of {want[2]} "
            "heads: load the adapter that was trained on this model."
        )
