"""What an adapter is, as plain values: the content of its ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass

from vif.adapter.mixture import RENDERERS
from vif.settings import PHASES

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
# An encoder and the way in which its latents name the mean of a component belong together.
FORMS = {"slots": "pointing", "published": "head"}
GRIDS = ("centres", "endpoint")


@dataclass(frozen=True)
class VIFConfig:
    """What an adapter is and where it was trained to act.

    Attributes:
        hidden_size: Width of the backbone's hidden states.
        num_layers: Decoder layers of the backbone.
        num_heads: Query heads of the backbone.
        width: Width of the adapter (published: that of the backbone).
        num_components: Mixture components K.
        image_layers: Self-attention blocks over image tokens; the published form has none of its
            own.
        slot_layers: Blocks of the latent slots; of each encoder in the published form.
        latent_heads: Attention heads inside the adapter.
        ffn_dim: Inner width of its feed-forward parts.
        min_sigma: Least standard deviation of a component, in image widths.
        renderer: ``"density"`` or ``"softmax"`` (published).
        learning: First and last learning layer, inclusive, 0-based.
        injection: First and last injection layer, inclusive.
        stride: Stride of both ranges: use every n-th layer.
        alpha: Strength it was trained with; a gate of 1 means just this.
        backbone: Name of the backbone it was trained on, for messages.
        encoder: ``"slots"``, or ``"published"`` for `vif.adapter.published`.
        means: ``"pointing"``: the mean of a component is where its latent points; ``"head"``
            (published): it is a linear function of the latent.
        grid: ``"centres"`` of tokens, or ``"endpoint"`` (published): the first and the last
            column lie on the border, half a cell outside their centres.
        phase: ``"both"``, or ``"prefill"`` (published): generated rows are not steered.
        entropy_weight: Of the map's entropy within the sparsity loss.
        volume_weight: Of the mean squared sigma within the sparsity loss.
        trained_on: Training data and supervision, in words; "" if not known.
    """

    hidden_size: int
    num_layers: int
    num_heads: int
    width: int = 256
    num_components: int = 16
    image_layers: int = 2
    slot_layers: int = 3
    latent_heads: int = 4
    ffn_dim: int = 512
    min_sigma: float = 0.035
    renderer: str = "density"
    learning: tuple[int, int] = (3, 4)
    injection: tuple[int, int] = (5, 7)
    stride: int = 1
    alpha: float = 0.5
    backbone: str = ""
    encoder: str = "slots"
    means: str = "pointing"
    grid: str = "centres"
    phase: str = "both"
    entropy_weight: float = 1.0
    volume_weight: float = 1.0
    trained_on: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` unless the choices exist and fit together."""
        choices = {"encoder": FORMS, "grid": GRIDS, "phase": PHASES, "renderer": RENDERERS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}."
                )
        if self.means != FORMS[self.encoder]:
            raise ValueError(
                f"means is {self.means!r}, but encoder {self.encoder!r} goes with "
                f"{FORMS[self.encoder]!r}."
            )
        if self.encoder == "slots" and self.grid != "centres":
            raise ValueError("grid is 'endpoint', which only the published encoder has.")
        if self.width % self.latent_heads:
            raise ValueError(
                f"width {self.width} cannot be split among {self.latent_heads} latent_heads."
            )
