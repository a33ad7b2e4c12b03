"""VIF as a whole: learning layers -> latent -> mixture -> map and strength for injection layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch
from huggingface_hub import HfApi
from torch import nn

from vif.adapter.config import VIFConfig
from vif.adapter.files import fingerprint, read_adapter, unreadable, write_adapter
from vif.adapter.latent import (
    NUM_RELATIVE_FEATURES,
    Gaussian,
    LatentEncoder,
    kl_divergence,
    relative_features,
)
from vif.adapter.mixture import MixtureParameters, grid_centres, render, soft_argmax
from vif.adapter.outputs import ImageMemory, Inference, Rendered
from vif.adapter.sparsity import sparsity
from vif.hub import card, upload


class VIFAdapter(nn.Module):
    """The learned part of VIF. One instance serves every learning layer, as published.

    docs/vif.md lists the departures from the published code: the mean of a component is where its
    latent points (not a linear head), the map is a density (not a softmax of heights), and the
    strength depends on the question, per injection layer and head (not one alpha). The published
    form itself is `vif.adapter.published.PublishedVIF`.

    Attributes:
        encoder: Name of the form in a configuration.
        forms: All forms by that name; a subclass enters itself.
        reads_whole_prompt: Whether a latent reads all text of the prompt, or the question and what
            follows it.
    """

    encoder: ClassVar[str] = "slots"
    forms: ClassVar[dict[str, type[VIFAdapter]]] = {}
    reads_whole_prompt = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        VIFAdapter.forms[cls.encoder] = cls

    def __init__(self, config: VIFConfig) -> None:
        super().__init__()
        self.config = config
        self._build(config)

    def _build(self, config: VIFConfig) -> None:
        """Makes the modules; another form overrides it together with `remember` and `render`."""
        width = config.width
        self.latent = LatentEncoder(
            config.hidden_size,
            width,
            config.num_components,
            config.image_layers,
            config.slot_layers,
            config.latent_heads,
            config.ffn_dim,
        )
        self.pointer = nn.Linear(width, width)
        self.anchor = nn.Linear(width, width)
        self.relation = nn.Linear(width, NUM_RELATIVE_FEATURES)
        nn.init.zeros_(self.relation.weight)
        nn.init.zeros_(self.relation.bias)
        self.keys = nn.Linear(width, width)
        self.weight_head = nn.Linear(width, 1)
        first = nn.Linear(2 * width, width)
        last = nn.Linear(width, config.num_layers * config.num_heads)
        self.gate_head = nn.Sequential(first, nn.SiLU(), last)
        # A gate of exactly 1 everywhere: training starts as VIF with one alpha.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def remember(self, states: torch.Tensor, centres: torch.Tensor) -> ImageMemory:
        """Encodes the tokens of an image once, for all its questions.

        Args:
            states: Hidden states of the image tokens at a learning layer, (B, N, hidden_size).
            centres: Token centres, (N, 2) or (B, N, 2).
        """
        centres = centres.to(states.device).expand(len(states), -1, -1)
        tokens = self.latent.encode_image(states.float(), centres)
        return ImageMemory(tokens, self.keys(tokens), centres)

    def render(self, memory: ImageMemory, z: torch.Tensor) -> Rendered:
        """Decodes latents (B * M, K, width), M per image, into mixture, map and gate."""
        centres = memory.centres.repeat_interleave(len(z) // len(memory.keys), 0)
        pointing = self._point(memory, z, centres)
        means, sigmas = soft_argmax(pointing, centres, self.config.min_sigma)
        weights = self.weight_head(z).squeeze(-1).float().softmax(-1)
        mixture = MixtureParameters(means, sigmas, weights)
        tokens = render(mixture, centres, self.config.renderer)
        pooled = torch.cat([(weights[..., None] * z).sum(1), z.mean(1)], -1)
        gate = 2 * self.gate_head(pooled).float().sigmoid()
        gate = gate.unflatten(-1, (self.config.num_layers, self.config.num_heads))
        return Rendered(z, pointing, *mixture, tokens, gate)

    def _point(self, memory: ImageMemory, z: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        """What latents point at, (B * M, K, N): by content, and by place relative to an anchor.

        "The object left of the star" is not found by what it looks like. A latent first points at
        an anchor, the star, and weighs every token by where it lies from there as well.
        """

        def by_content(query: torch.Tensor) -> torch.Tensor:
            grouped = query.reshape(len(memory.keys), -1, z.shape[-1])
            logits = grouped @ memory.keys.mT / z.shape[-1] ** 0.5
            outside = memory.centres.isnan().any(-1)[:, None]
            logits = logits.float().masked_fill(outside, float("-inf"))
            return logits.reshape(*z.shape[:2], -1)

        anchors, _ = soft_argmax(by_content(self.anchor(z)).softmax(-1), centres, min_sigma=0.0)
        gap = centres.nan_to_num(0.5)[:, None] - anchors[:, :, None]
        relative = (relative_features(gap) @ self.relation(z).float()[..., None]).squeeze(-1)
        return (by_content(self.pointer(z)) + relative).softmax(-1)

    def infer(
        self,
        hidden_states: torch.Tensor,
        image_mask: torch.Tensor,
        question_mask: torch.Tensor,
        answer_mask: torch.Tensor | None = None,
        noise: float | torch.Tensor = 0.0,
        centres: torch.Tensor | None = None,
    ) -> Inference:
        """From the hidden states of one learning layer to what is injected.

        Args:
            hidden_states: (B, S, hidden_size).
            image_mask: (B, S) bool, as many True in every row.
            question_mask: (B, S) bool, at least one True in every row.
            answer_mask: (B, S) bool; with it z comes from the posterior.
            noise: Standard normal noise (B, K, width), or 0 for the mean.
            centres: Token centres (N, 2) or (B, N, 2); a square grid by default.

        Returns:
            An `Inference`; ``kl`` is 0 without an answer.

        Raises:
            ValueError: If rows have different numbers of image tokens, a row has no question, or
                the number of image tokens is not a square and no centres are given.
        """
        counts = image_mask.sum(1)
        if not bool((counts == counts[0]).all()):
            raise ValueError(
                f"All rows need the same number of image tokens, got {counts.tolist()}."
            )
        if not bool(question_mask.any(1).all()):
            raise ValueError("Every row of question_mask needs at least one question token.")
        number = int(counts[0])
        if centres is None:
            side = round(number**0.5)
            if side * side != number:
                raise ValueError(
                    f"{number} image tokens do not form a square grid: pass their centres."
                )
            centres = grid_centres(side, side)
        image = hidden_states[image_mask].unflatten(0, (len(hidden_states), number))
        memory = self.remember(image, centres)
        text = hidden_states.float()
        latent = prior = self.latent(memory.tokens, text, question_mask)
        kl = latent.mean.new_zeros(len(text))
        if answer_mask is not None:
            latent = self.latent(memory.tokens, text, question_mask, answer_mask)
            kl = kl_divergence(latent, prior)
        out = self.render(memory, latent.sample(noise))
        mixture = MixtureParameters(out.means, out.sigmas, out.weights)
        weights = self.config.entropy_weight, self.config.volume_weight
        sparse = sparsity(out.map, out.sigmas, *weights)
        return Inference(out.z, *mixture, out.map, out.gate, kl, sparse)

    def place(
        self,
        mixture: MixtureParameters,
        centres: torch.Tensor,  # noqa: ARG002
    ) -> MixtureParameters:
        """A mixture of `render` in image coordinates, for tokens at centres (B, N, 2)."""
        return mixture

    def draw(self, latent: Gaussian, generator: torch.Generator | None) -> torch.Tensor:
        """A latent sample with its own random stream; the mean without a generator."""
        if generator is None:
            return latent.mean
        noise = torch.randn(latent.mean.shape[1:], generator=generator)
        return latent.sample(noise.to(latent.mean))

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that tell adapters apart: configuration and some parameters."""
        return fingerprint(self.config, self.state_dict())

    def save_pretrained(
        self, folder: str | Path, dtype: torch.dtype | None = torch.float16
    ) -> None:
        """Writes ``config.json`` and ``model.safetensors``.

        Args:
            folder: Made if it does not exist.
            dtype: Of the parameters in the file; None keeps theirs.
        """
        tensors = self.state_dict()
        if dtype is not None:
            tensors |= {name: p.detach().to(dtype) for name, p in self.named_parameters()}
        write_adapter(folder, self.config, tensors)

    def push_to_hub(
        self,
        name: str,
        *,
        private: bool = False,
        base_model: str | None = None,
        figures: Mapping[str, Any] | None = None,
        api: HfApi | None = None,
    ) -> str:
        """Uploads the adapter with a card.

        Args:
            name: ``user/name`` on the Hub.
            private: Whether a new repository is hidden from others.
            base_model: Hub name of the model that it is for; the one of the configuration.
            figures: What the benchmark says, see `vif.hub.cards.figures`.
            api: The Hub; the one of the environment by default.

        Returns:
            Address of the repository.

        Raises:
            InputError: If nothing can be uploaded there.
        """
        told = card(
            "adapter",
            name=name,
            base_model=base_model or self.config.backbone,
            config=asdict(self.config),
            parameters=sum(p.numel() for p in self.parameters()),
            fingerprint=self.fingerprint,
            figures=figures or {},
        )
        with TemporaryDirectory(prefix="vif-push-") as folder:
            self.save_pretrained(folder)
            (Path(folder) / "README.md").write_text(told, encoding="utf-8")
            return upload(folder, name, private=private, api=api)

    @classmethod
    def from_pretrained(cls, name_or_folder: str | Path) -> VIFAdapter:
        """Reads an adapter of either form from a folder or, by name, from the Hub.

        Returns:
            The adapter in float32, in evaluation mode.

        Raises:
            InputError: If there is no adapter or it does not fit its configuration.
        """
        try:
            return build(*read_adapter(name_or_folder)).float().eval()
        except RuntimeError as error:
            raise unreadable(name_or_folder, error) from error


VIFAdapter.forms[VIFAdapter.encoder] = VIFAdapter


def build(config: VIFConfig, state: dict[str, torch.Tensor] | None = None) -> VIFAdapter:
    """The adapter that a configuration describes.

    Args:
        config: Its ``encoder`` chooses the form.
        state: Its tensors, taken as they are; drawn anew if None.

    Raises:
        RuntimeError: If names or shapes of `state` differ from the configuration's.
    """
    form = VIFAdapter.forms[config.encoder]
    if state is None:
        return form(config)
    # Billions of parameters would take minutes to draw, only to be replaced.
    with torch.device("meta"):
        adapter = form(config)
    adapter.load_state_dict(state, assign=True)
    return adapter
