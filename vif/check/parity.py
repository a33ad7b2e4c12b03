"""What a model answers through this project's attention, against what it must answer.

Every check returns an error: 0 where nothing differs. The reference attends densely, over the
whole matrix, and edits it in probability space, as the method is defined.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask
from typing_extensions import override

from vif.check.ramp import ramp_image
from vif.model import attention
from vif.model.attention import KEYWORD, Mix, Tap
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.model.generation import Generated, generate
from vif.model.prompt import Prompt
from vif.recording import Recorder

STEPS = 4
QUESTION = "what colour is the star ?"
OTHER_QUESTION = "how many are there in the picture ?"
# Longer than the sliding windows of the tiny models, so that rows lose sight of the image.
LONG_CONTEXT = "the small red ring is far left of a large blue heart . " * 3
SIZE, OTHER_SIZE = (100, 60), (48, 120)
_REFERENCE, _SPY = "vif_reference", "vif_spy"


class MixAll(Recorder):
    """Mixes a fixed random map into every layer, with one strength per head."""

    def __init__(self, backbone: Backbone, batch: Batch) -> None:
        super().__init__(batch)
        generator = torch.Generator().manual_seed(0)
        columns, heads = batch.columns, backbone.num_heads
        weights = torch.rand(columns.shape, generator=generator).to(columns.device)
        strengths = torch.rand(backbone.num_layers, len(batch), heads, generator=generator)
        self.map = weights / weights.sum(1, keepdim=True)
        self.strengths = strengths.to(columns.device)

    @override
    def mix(self, layer: int) -> Mix | None:
        return Mix(self.batch.columns, self.map, self.strengths[layer], self.batch.first_row)


class FullRowTap(Recorder):
    """A tap that keeps whole rows of attention, to compare them."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(batch)
        self.full: list[torch.Tensor] = []
        self.expected: list[torch.Tensor] = []

    @override
    def record(self, layer: int, row: torch.Tensor, first_key: int) -> None:
        super().record(layer, row, first_key)
        self.full.append(row)


def probabilities(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    softcap: float | None,
) -> torch.Tensor:
    """The whole attention matrix, (B, H, Q, K) float32, in the plainest way."""
    keys = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    logits = query.float() @ keys.float().transpose(2, 3) * scaling
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    return logits.masked_fill(~visible(mask, logits), float("-inf")).softmax(-1)


def visible(mask: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
    """Which keys each row sees, broadcastable to (B, H, Q, K)."""
    queries, keys = logits.shape[-2:]
    if mask is None:
        seen = torch.ones(queries, keys, dtype=torch.bool, device=logits.device)
        return seen.tril(keys - queries)
    return mask[..., :keys]


def reference(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as `vif.model.attention.attention` must be."""
    tap: Tap | None = kwargs.get(KEYWORD)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    p = probabilities(query, key, attention_mask, scale, softcap)
    if tap is not None:
        mix = tap.mix(module.layer_idx)
        if mix is not None:
            p = _mixed(p, mix, visible(attention_mask, p), tap.position)
        if tap.wants(module.layer_idx):
            tap.record(module.layer_idx, p[:, :, -1], tap.position + p.shape[2] - p.shape[3])
    values = value.repeat_interleave(query.shape[1] // value.shape[1], 1).float()
    return (p @ values).transpose(1, 2).contiguous().to(query.dtype), None


def _mixed(p: torch.Tensor, mix: Mix, seen: torch.Tensor, start: int) -> torch.Tensor:
    """P' = (1 - s) p + s pi, row by row; a row that does not see all of the image is unchanged."""
    rows = []
    first_key = start + p.shape[2] - p.shape[3]
    for b, columns in enumerate(mix.columns - first_key):
        for i in range(p.shape[2]):
            row_sees = seen.expand(*p.shape[:1], 1, *p.shape[2:])[b, 0, i]
            if start + i < mix.first_row[b] or columns.min() < 0 or not row_sees[columns].all():
                rows.append(p[b, :, i])
                continue
            injected = torch.zeros_like(p[b, 0, i]).index_add(0, columns, mix.map[b].to(p.dtype))
            strength = mix.strength[b, :, None]
            rows.append((1 - strength) * p[b, :, i] + strength * injected)
    return torch.stack(rows).unflatten(0, (p.shape[0], p.shape[2])).transpose(1, 2)


def spy(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """This project's attention; what it recorded is followed by what it should have recorded."""
    tap = kwargs.get(KEYWORD)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = attention.attention(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    if isinstance(tap, FullRowTap):
        full = probabilities(query, key, attention_mask, scale, kwargs.get("softcap"))
        tap.expected.append(full[:, :, -1])
    return out


def prompt_of(backbone: Backbone, long: bool = False, other: bool = False) -> Prompt:
    """A question about an image; the other one has another shape and other words."""
    image = ramp_image(OTHER_SIZE if other else SIZE)
    question = OTHER_QUESTION if other else QUESTION
    return backbone.encode(image, question, LONG_CONTEXT if long else "")


def rows_error(backbone: Backbone) -> float:
    """Recorded rows against a full softmax of the very same queries and keys."""
    tap = FullRowTap(Batch.make(backbone, [prompt_of(backbone, long=True)]))
    with _through(backbone, _SPY):
        generate(backbone.model, dict(tap.batch.inputs), tap, STEPS)
    return _largest(tap.full, tap.expected)


def mix_error(backbone: Backbone, long: bool = False) -> float:
    """Mixing pooled values against mixing whole rows, in the prompt and in the answer."""
    batch = Batch.make(backbone, [prompt_of(backbone, long)])
    mine, plain = _answer(backbone, MixAll(backbone, batch)), _answer(backbone, Recorder(batch))
    with _through(backbone, _REFERENCE):
        theirs = _answer(backbone, MixAll(backbone, batch))
    if not long and _difference(mine, plain) < 1e-3:
        return float("inf")
    return _difference(mine, theirs)


def long_mix_error(backbone: Backbone) -> float:
    """The same with the image outside the sliding window, for models that have one."""
    return mix_error(backbone, long=True)


def plain_error(backbone: Backbone) -> float:
    """A recorded answer against the unmodified model, as transformers runs it."""
    batch = Batch.make(backbone, [prompt_of(backbone)])
    generated, _ = _answer(backbone, Recorder(batch))
    inputs = backbone.collate(batch.prompts)
    backbone.uninstall()
    try:
        stock = backbone.model.generate(
            **inputs,
            max_new_tokens=STEPS,
            do_sample=False,
            output_scores=True,
            return_dict_in_generate=True,
            # Without it Gemma 4's last layers read one row, which rounds otherwise than many.
            output_hidden_states=True,
        )
    finally:
        backbone.uninstall = attention.install(backbone.model)
    scores = torch.stack(stock.scores)[:, 0].float().log_softmax(-1).cpu()
    tokens = stock.sequences[0, inputs["input_ids"].shape[1] :].cpu()
    mine = torch.stack(generated.tokens)[:, 0]
    if not torch.equal(tokens, mine):
        return float("inf")
    logprobs = torch.stack(generated.logprobs)[:, 0]
    return float((logprobs - scores.gather(1, tokens[:, None])[:, 0]).abs().max())


def threads_error(backbone: Backbone) -> float:
    """Requests with images of different shapes at once, against one after another."""
    jobs = [prompt_of(backbone), prompt_of(backbone, other=True)]

    def ask(prompt: Prompt) -> tuple[Generated, list[torch.Tensor]]:
        with torch.no_grad():
            return _answer(backbone, MixAll(backbone, Batch.make(backbone, [prompt])))

    alone = [ask(prompt) for prompt in jobs]
    found: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: ask(jobs[i % 2])})) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) < len(threads):
        return float("inf")
    return max(_difference(found[i], alone[i % 2]) for i in range(len(threads)))


def padding_error(backbone: Backbone) -> float:
    """A batch whose shorter prompt is padded, against its prompts one by one."""
    prompts = [prompt_of(backbone), prompt_of(backbone, long=True)]
    together, rows = _answer(backbone, Recorder(Batch.make(backbone, prompts)))
    errors = []
    for i, prompt in enumerate(prompts):
        alone, own_rows = _answer(backbone, Recorder(Batch.make(backbone, [prompt])))
        for one, many in zip(alone.top, together.top, strict=False):
            errors.append(float((one[1][0] - many[1][i]).abs().max()))
        first = len(backbone.attention_layers)
        errors.append(_largest([row[0] for row in own_rows[:first]], [r[i] for r in rows[:first]]))
    return max(errors)


def gradient_error(backbone: Backbone) -> float:
    """Gradients of map and strength against those of the reference, as a share of the largest."""
    batch = Batch.make(backbone, [prompt_of(backbone)])
    mine = _gradients(backbone, batch)
    with _through(backbone, _REFERENCE):
        theirs = _gradients(backbone, batch)
    errors = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(mine, theirs, strict=True)]
    return max(error if error == error else float("inf") for error in errors)


def _gradients(backbone: Backbone, batch: Batch) -> list[torch.Tensor]:
    tap = MixAll(backbone, batch)
    leaves = [tap.map.requires_grad_(), tap.strengths.requires_grad_()]
    with torch.enable_grad():
        inputs = backbone.collate(batch.prompts)
        logits = backbone.model(**inputs, **{KEYWORD: tap}).logits[:, -1].float()
        return list(torch.autograd.grad(logits.log_softmax(-1)[:, :8].sum(), leaves))


def _answer(backbone: Backbone, tap: Recorder) -> tuple[Generated, list[torch.Tensor]]:
    generated = generate(backbone.model, dict(tap.batch.inputs), tap, STEPS)
    return generated, [row for step in tap.rows for row in step if row is not None]


def _difference(
    one: tuple[Generated, list[torch.Tensor]], other: tuple[Generated, list[torch.Tensor]]
) -> float:
    """Largest difference of log-probabilities and recorded rows, as long as the words agree."""
    errors = []
    layers = len(one[1]) // len(one[0].tokens)
    for step, (a, b) in enumerate(zip(one[0].tokens, other[0].tokens, strict=False)):
        errors.append(float((one[0].logprobs[step] - other[0].logprobs[step]).abs().max()))
        part = slice(step * layers, (step + 1) * layers)
        errors.append(_largest(one[1][part], other[1][part]))
        if not torch.equal(a, b):
            break
    return max(errors)


def _largest(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


@contextmanager
def _through(backbone: Backbone, name: str) -> Iterator[None]:
    """Sends a model's attention through another function. Not while others use the model."""
    attention.select(backbone.model, name)
    try:
        yield
    finally:
        attention.select(backbone.model, attention.NAME)


for _name, _function in ((_REFERENCE, reference), (_SPY, spy)):
    AttentionInterface.register(_name, _function)
    AttentionMaskInterface.register(_name, sdpa_mask)
