"""Backbone and adapter as one module: a batch in, sums of losses out.

With a frozen backbone the image is read once, without gradient; its keys and values are shared by
all questions about it. Every question's map is inferred from the states of the learning layers,
outside of any layer, and mixed into the injection layers of the pass that answers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import DynamicCache
from typing_extensions import override

from training.encoding import ANSWER, IGNORE
from training.prefix import share
from training.steering import FULL_PRECISION, Enough, Mixer, Reader
from vif.adapter import Rendered, VIFAdapter, entropy_loss, volume_loss
from vif.attention import KEYWORD, select
from vif.backbone import Backbone
from vif.latent import kl_divergence
from vif.rows import Mix
from vif.settings import Settings

MAX_CHUNKS = 2  # rows of like length run together


@dataclass(frozen=True)
class Plan:
    """What one step does; everything random in it depends on `seed` and the image alone.

    Attributes:
        settings: Ranges, strength, phase.
        posterior: Whether latents come from the posterior; otherwise from the prior.
        noise: Whether latents are drawn; otherwise their mean is taken.
        fixed_gate: Whether the gate is held at 1.
        map_only: Whether the answers are left out.
        seed: Of noise and gaps.
        gap_share: Share of rows whose positions start later, as after a long text.
        gap_max: Longest such gap.
        source: Whose maps are mixed in: ``"vif"``, ``"truth"`` or ``"plain"`` (none).
    """

    settings: Settings
    posterior: bool = False
    noise: bool = False
    fixed_gate: bool = False
    map_only: bool = False
    seed: int = 0
    gap_share: float = 0.0
    gap_max: int = 0
    source: str = "vif"


class Prefix(NamedTuple):
    """An image as read once.

    Attributes:
        cache: Keys and values of every layer that ran.
        states: Image tokens at every learning layer, (B, N, d).
        mask: (B, P), None where nothing is padded.
        length: Unpadded length, (B,).
    """

    cache: DynamicCache
    states: dict[int, torch.Tensor]
    mask: torch.Tensor | None
    length: torch.Tensor


class Answers(NamedTuple):
    """Logits (A, V) and labels (A,) of answer tokens, with the question each belongs to (A,)."""

    logits: torch.Tensor
    labels: torch.Tensor
    question: torch.Tensor


class Outcome(NamedTuple):
    """What a shard gave.

    Attributes:
        rendered: Per learning layer, B * M questions each.
        kl: Per learning layer, (B * M,).
        answers: None in a step that trains the map alone.
    """

    rendered: dict[int, Rendered]
    kl: dict[int, torch.Tensor]
    answers: Answers | None


class VIFModel(nn.Module):
    """A backbone with its adapter in training."""

    def __init__(self, backbone: Backbone, adapter: VIFAdapter) -> None:
        super().__init__()
        self.backbone, self.adapter = backbone, adapter
        self.vlm = backbone.model
        self.vlm.requires_grad_(False)
        if backbone.device.type == "cpu":
            select(self.vlm, FULL_PRECISION)

    @override
    def train(self, mode: bool = True) -> VIFModel:
        """A frozen backbone stays in evaluation mode: no dropout."""
        super().train(mode)
        self.vlm.eval()
        return self

    @override
    def forward(self, batch: dict[str, Any], plan: Plan) -> dict[str, torch.Tensor]:
        """Sums of every part of the loss over answer tokens or questions, and of what is logged."""
        parts: dict[str, torch.Tensor] = {}
        for shard in batch["shards"]:
            for name, value in sum_losses(shard, plan, self.run(shard, plan)).items():
                parts[name] = parts[name] + value if name in parts else value
        return parts

    def run(self, shard: dict[str, Any], plan: Plan) -> Outcome:
        """Reads images, infers maps and answers."""
        is_cpu = shard["ids"].device.type == "cpu"
        prefix = self._read_images(shard, plan)
        texts = {} if plan.source == "plain" else self._read_texts(shard, plan, prefix)
        rendered, kl = {}, {}
        for layer in texts:
            # The backward pass of the fused CPU kernel is slow in half precision.
            with sdpa_kernel(SDPBackend.MATH) if is_cpu else nullcontext():
                rendered[layer], kl[layer] = self._infer(shard, plan, prefix, texts, layer)
        answers = None if plan.map_only else self._answer(shard, plan, prefix, rendered)
        return Outcome(rendered, kl, answers)

    @torch.no_grad()
    def _read_images(self, shard: dict[str, Any], plan: Plan) -> Prefix:
        head = dict(shard["head"])
        padding = head.pop("attention_mask")
        cache = DynamicCache(config=self.vlm.config.get_text_config())
        tap = Reader(plan.settings.learning_layers, stop=plan.map_only)
        padded = not bool(padding.all())
        positions = (padding.cumsum(1) - 1).clamp_min(0)
        pixels = {
            name: tensor.to(self.vlm.dtype) if tensor.is_floating_point() else tensor
            for name, tensor in head.items()
        }
        with suppress(Enough):
            self.vlm(
                **pixels,
                attention_mask=padding if padded else None,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **{KEYWORD: tap},
            )
        index = shard["columns"][..., None]
        states = {
            layer: found.gather(1, index.expand(-1, -1, found.shape[-1]))
            for layer, found in tap.states.items()
        }
        return Prefix(cache, states, padding if padded else None, padding.sum(1))

    @torch.no_grad()
    def _read_texts(
        self, shard: dict[str, Any], plan: Plan, prefix: Prefix
    ) -> dict[int, torch.Tensor]:
        """States at every learning layer of what latents read, (B * M, L, d)."""
        layers = plan.settings.learning_layers
        found: dict[int, torch.Tensor] = {}
        for rows in _chunks(shard["length"]):
            tap = Reader(layers, stop=True)
            with suppress(Enough):
                self._pass(shard, plan, prefix, rows, tap)
            for layer, states in tap.states.items():
                size = (len(shard["ids"]), shard["ids"].shape[1], states.shape[-1])
                whole = found.setdefault(layer, states.new_zeros(size))
                whole[rows, : states.shape[1]] = states
        place = shard["row"].clamp_min(0)[:, None]
        return {layer: states[place, shard["read"]] for layer, states in found.items()}

    def _infer(
        self,
        shard: dict[str, Any],
        plan: Plan,
        prefix: Prefix,
        texts: dict[int, torch.Tensor],
        layer: int,
    ) -> tuple[Rendered, torch.Tensor]:
        """Every question's map from one learning layer, and the KL divergence of its latent."""
        adapter, text = self.adapter, texts[layer]
        memory = adapter.remember(prefix.states[layer], shard["centres"])
        question = shard["is_question"].clone()
        question[~question.any(1), 0] = True
        latent = prior = adapter.latent(memory.tokens, text, question)
        kl = latent.mean.new_zeros(len(text), dtype=torch.float32)
        if plan.posterior:
            latent = adapter.latent(memory.tokens, text, question, shard["is_answer"])
            kl = kl_divergence(latent, prior)
        noise = _noise(shard, plan, layer, latent.mean) if plan.noise else 0.0
        return adapter.render(memory, latent.sample(noise)), kl

    def _answer(
        self, shard: dict[str, Any], plan: Plan, prefix: Prefix, rendered: dict[int, Rendered]
    ) -> Answers:
        found = []
        prepare = self._prepare(shard, plan, prefix, rendered)
        for rows in _chunks(shard["length"]):
            labels = shard["labels"][rows][:, 1 : int(shard["length"][rows].max())]
            wanted = labels != IGNORE
            keep = torch.nonzero(wanted.any(0)).squeeze(1)
            tap = Mixer(lambda layer, rows=rows: prepare(layer, rows))
            out = self._pass(shard, plan, prefix, rows, tap, logits_to_keep=keep)
            turn = shard["turn"][rows][:, 1 : labels.shape[1] + 1]
            whose = shard["question"][rows].gather(1, turn.clamp_min(0))
            chosen = wanted[:, keep]
            found.append((out.logits[chosen].float(), labels[:, keep][chosen], whose[wanted]))
        return Answers(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _prepare(
        self, shard: dict[str, Any], plan: Plan, prefix: Prefix, rendered: dict[int, Rendered]
    ) -> Callable[[int, torch.Tensor], Mix | None]:
        """What is mixed into a layer for some rows."""
        sources = plan.settings.sources() if rendered else {}
        shape = shard["columns"].shape
        start = prefix.cache.get_seq_length()
        first = shard["columns"].max(1).values + 1
        several = shard["question"].shape[1] > 1 or plan.settings.phase == "prefill"
        turn = shard["turn"]
        if plan.settings.phase == "prefill":
            turn = turn.masked_fill(shard["part"] == ANSWER, -1)
        turns = F.pad(turn, (start, 0), value=-1) if several else None

        def prepare(layer: int, rows: torch.Tensor) -> Mix | None:
            if layer not in sources:
                return None
            out = rendered[sources[layer]]
            weights, gate = out.map, out.gate[:, layer]
            if plan.fixed_gate:
                gate = torch.ones_like(gate)
            if plan.source == "truth":
                weights = shard["target"]
                gate = gate * (weights.sum(1, keepdim=True) > 0)
            strength = (plan.settings.alpha * gate).clamp(0, 1)
            # Pooled once per image: its values need not be repeated for every question.
            index = shard["columns"][:, None, :, None]
            values = prefix.cache.layers[layer].values
            values = values[:, :, :start].gather(
                2, index.expand(-1, values.shape[1], -1, values.shape[3])
            )
            grid = weights.unflatten(0, (shape[0], -1)).to(values.dtype)
            pooled = (grid[:, None] @ values).transpose(1, 2).flatten(0, 1)
            asked = shard["question"][rows]
            asked = asked if several else asked[:, 0]
            image = shard["image"][rows]
            own = None if turns is None else turns[rows]
            return Mix(
                shard["columns"][image], weights[asked], strength[asked], first[image], own,
                pooled[asked].float(),
            )  # fmt: skip

        return prepare

    def _pass(
        self,
        shard: dict[str, Any],
        plan: Plan,
        prefix: Prefix,
        rows: torch.Tensor,
        tap: Any,
        **kwargs: Any,
    ) -> Any:
        """Runs rows behind their images."""
        length = int(shard["length"][rows].max())
        image = shard["image"][rows]
        cache = share(prefix.cache, image)
        positions = prefix.length[image][:, None] + torch.arange(length, device=image.device)
        if plan.gap_max:
            positions = positions + _gaps(shard, plan)[rows][:, None]
        mask = None
        if prefix.mask is not None:
            mask = F.pad(prefix.mask[image], (0, length), value=1)
        return self.vlm(
            input_ids=shard["ids"][rows, :length],
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **{KEYWORD: tap},
            **kwargs,
        )


def _chunks(lengths: torch.Tensor) -> list[torch.Tensor]:
    """Rows in at most `MAX_CHUNKS` groups of like length, the least padding in all."""
    order = lengths.argsort(stable=True)
    ordered = lengths[order]
    count = torch.arange(1, len(order) + 1, device=lengths.device)
    cost = count * ordered + (len(order) - count) * ordered[-1]
    split = int(cost.argmin()) + 1
    # A second pass has a price of its own.
    if split == len(order) or cost[split - 1] > 0.85 * cost[-1]:
        return [order]
    return [order[:split], order[split:]]


def _generator(plan: Plan, key: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed((plan.seed * 1_000_003 + key) * 64 + purpose)


def _noise(shard: dict[str, Any], plan: Plan, layer: int, like: torch.Tensor) -> torch.Tensor:
    """Standard normal noise of every question; that of an image depends on nothing else."""
    most = len(like) // len(shard["key"])
    drawn = [
        torch.randn(most, *like.shape[1:], generator=_generator(plan, key, layer + 1))
        for key in shard["key"].tolist()
    ]
    return torch.cat(drawn).to(like.device)


def _gaps(shard: dict[str, Any], plan: Plan) -> torch.Tensor:
    """How much later the positions of every row start, (R,)."""
    gaps = torch.zeros(len(shard["image"]), dtype=torch.long)
    image = shard["image"].cpu()
    for i, key in enumerate(shard["key"].tolist()):
        generator, rows = _generator(plan, key, 0), torch.nonzero(image == i).squeeze(1)
        drawn = torch.rand(len(rows), generator=generator) < plan.gap_share
        length = torch.randint(1, plan.gap_max + 1, (len(rows),), generator=generator)
        gaps[rows] = drawn * length
    return gaps.to(shard["image"].device)


def sum_losses(shard: dict[str, Any], plan: Plan, outcome: Outcome) -> dict[str, torch.Tensor]:
    """Sums over questions (``lm``: answer tokens), every learning layer counting alike."""
    valid, target = shard["row"] >= 0, shard["target"]
    known = target.sum(1) > 0
    share = 1 / max(len(outcome.rendered), 1)
    parts: dict[str, torch.Tensor] = {}

    def add(name: str, values: torch.Tensor) -> None:
        parts[name] = parts.get(name, 0) + share * values.sum()

    for layer, out in outcome.rendered.items():
        add("kl", outcome.kl[layer][valid])
        add("entropy", entropy_loss(out.map)[valid])
        add("volume", volume_loss(out.sigmas)[valid])
        add("box", box_losses(out, target)[known])
        with torch.no_grad():
            peak = out.map.argmax(-1, keepdim=True)
            add("pointing", (target.gather(1, peak).squeeze(1) > 0)[known].float())
            add("in_box", (out.map * (target > 0)).sum(1)[known])
            layers = [to for to, source in plan.settings.sources().items() if source == layer]
            strength = (plan.settings.alpha * out.gate[:, layers]).clamp(0, 1)
            if layers:
                add("alpha", strength.mean((1, 2))[valid])
    if outcome.answers is not None:
        logits, labels, _ = outcome.answers
        parts["lm"] = F.cross_entropy(logits, labels, reduction="sum")
    return parts


def box_losses(out: Rendered, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the map, and of the pointing behind it, against true boxes (Q, N), (Q,)."""
    pointing = (out.weights[..., None] * out.pointing).sum(1)
    return sum(-(target * p.clamp_min(1e-9).log()).sum(-1) for p in (out.map, pointing))
