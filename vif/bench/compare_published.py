"""What the published form of VIF and this project's do to the same attention, and what they cost.

Everything is computed on the spot: maps and shares by injecting the same mixtures into the same
rows, parameters and FLOPs by building both forms on PyTorch's meta device, which holds no numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaModel

from vif.adapter import VIFAdapter, build
from vif.adapter.config import VIFConfig
from vif.adapter.mixture import (
    MixtureParameters,
    endpoint_grid,
    grid_centres,
    normalised_entropy,
    render,
)

SIDE, TEXT_TOKENS, NUM_COMPONENTS, LEARNING_LAYERS = 24, 64, 16, 4
ALPHA, WIDTHS, DRAWS = 0.5, (256, 512), 100
# The smallest component there is, and one of the size that the published code starts from.
SMALL, INITIAL = 0.035, 0.162
# Of a late layer's row: its share on the image, and how uneven that is (deviation of the log).
IMAGE_SHARE, UNEVENNESS = 0.2, 1.0

Table = list[tuple[str, list[float]]]
Made = TypeVar("Made")


def compare() -> tuple[Table, Table]:
    """Both tables: (what it is, its value in every column).

    Returns:
        Effects with the columns published and here; costs with published and here at every width
        of `WIDTHS`.
    """
    return effects(), costs()


def effects() -> Table:
    """What is injected and what becomes of an attention row, published and here."""
    generator = torch.Generator().manual_seed(0)
    shape = (DRAWS, NUM_COMPONENTS)
    scattered = MixtureParameters(
        torch.rand(*shape, 2, generator=generator),
        torch.full(shape, INITIAL),
        torch.randn(shape, generator=generator).softmax(-1),
    )
    means = scattered.means[:, :1]
    ones = torch.ones(DRAWS, 1)
    cases = {
        f"1 component of sigma {SMALL:g}": MixtureParameters(means, SMALL * ones, ones),
        f"1 component of sigma {INITIAL:g}": MixtureParameters(means, INITIAL * ones, ones),
        f"{NUM_COMPONENTS} components of sigma {INITIAL:g}": scattered,
    }
    row = (UNEVENNESS * torch.randn(DRAWS, SIDE**2, generator=generator)).softmax(-1)
    row = IMAGE_SHARE * row
    found: Table = []
    for name, mixture in cases.items():
        found += [(f"{name}: {what}", values) for what, values in _effects(mixture, row)]
    return found


def _effects(mixture: MixtureParameters, row: torch.Tensor) -> Table:
    """One kind of mixture injected into rows (B, N), averaged over the draws."""
    published = render(mixture, endpoint_grid(SIDE), "softmax")
    here = render(mixture, grid_centres(SIDE, SIDE), "density")
    gap = grid_centres(SIDE, SIDE) - mixture.means[:, :1]
    near = gap.square().sum(-1) <= (2 * mixture.sigmas[:, :1]).square()
    # A far token's density is below the smallest float: the ratio is then as good as infinite.
    ratios = [(m.amax(-1) / m.amin(-1)).median() for m in (published, here)]
    rows = [(1 - ALPHA) * row + ALPHA * weights for weights in (published, here)]
    return [
        (name, [float(value) for value in values])
        for name, values in (
            ("entropy of the map, % of ln N", [_entropy(published), _entropy(here)]),
            ("largest weight over smallest", ratios),
            ("share of the row on the image before, %", [_percent(row)] * 2),
            ("share of the row on the image after, %", [_percent(r) for r in rows]),
            ("share within 2 sigma of the first mean before, %", [_percent(row * near)] * 2),
            ("share within 2 sigma of the first mean after, %", [_percent(r * near) for r in rows]),
            ("entropy of the row on the image before, % of ln N", [_entropy(row)] * 2),
            ("entropy of the row on the image after, % of ln N", [_entropy(r) for r in rows]),
        )
    ]


def _entropy(weights: torch.Tensor) -> torch.Tensor:
    return 100 * normalised_entropy(weights / weights.sum(-1, keepdim=True)).mean()


def _percent(weights: torch.Tensor) -> torch.Tensor:
    return 100 * weights.sum(-1).mean()


def seven_billion(width: int | None = None) -> VIFConfig:
    """An adapter for LLaVA-1.5-7B: the published form, or this project's of a width."""
    llama = LlamaConfig()
    common: dict[str, Any] = {
        "hidden_size": llama.hidden_size,
        "num_layers": llama.num_hidden_layers,
        "num_heads": llama.num_attention_heads,
        "num_components": NUM_COMPONENTS,
        "slot_layers": 3,
    }
    if width is not None:
        return VIFConfig(**common, width=width, ffn_dim=2 * width)
    size = llama.hidden_size
    return VIFConfig(
        **common,
        width=size,
        ffn_dim=4 * size,
        image_layers=0,
        encoder="published",
        means="head",
        grid="endpoint",
        renderer="softmax",
    )


def costs() -> Table:
    """Parameters and FLOPs (two per multiplication and addition) at the shape of a 7B model."""
    model = _meta(lambda: LlamaModel(LlamaConfig()))
    prefill = _prefill_flops(model)
    size = _parameters(model)
    columns = [_cost(seven_billion(width)) for width in (None, *WIDTHS)]
    rows = {name: [column[name] for column in columns] for name in columns[0]}
    needed, first = rows["parameters needed to answer, millions"], rows["first question, TFLOP"]
    return [
        *rows.items(),
        ("the same, % of the language model", [100 * 1e6 * value / size for value in needed]),
        (
            f"{LEARNING_LAYERS} learning layers, % of the prefill",
            [100 * 1e12 * LEARNING_LAYERS * value / prefill for value in first],
        ),
    ]


def _cost(config: VIFConfig) -> dict[str, float]:
    adapter = _meta(lambda: build(config)).requires_grad_(False).eval()
    first, further = question_flops(adapter)
    answering = sum(p.numel() for n, p in adapter.named_parameters() if "posterior" not in n)
    return {
        "parameters, millions": _parameters(adapter) / 1e6,
        "parameters needed to answer, millions": answering / 1e6,
        "first question, TFLOP": first / 1e12,
        "further question about the image, TFLOP": further / 1e12,
    }


def question_flops(adapter: VIFAdapter) -> tuple[int, int]:
    """FLOPs of one learning layer, for the first and for a further question about an image.

    Args:
        adapter: On the meta device.
    """
    hidden = adapter.config.hidden_size
    states = torch.zeros(1, SIDE**2, hidden, device="meta")
    text = torch.zeros(1, TEXT_TOKENS, hidden, device="meta")
    mask = torch.zeros(1, TEXT_TOKENS, dtype=torch.bool, device="meta")
    memory, once = _count(lambda: adapter.remember(states, torch.zeros(SIDE**2, 2, device="meta")))
    # Which rows are text depends on numbers, which the meta device does not have.
    latent: Any = adapter.latent
    latent = latent.prior if adapter.config.encoder == "published" else latent
    z, read = _count(lambda: latent(memory.tokens, text, mask).mean)
    _, drawn = _count(lambda: adapter.render(memory, z))
    return once + read + drawn, read + drawn


def _prefill_flops(model: LlamaModel) -> int:
    number = SIDE**2 + TEXT_TOKENS
    inputs = {
        "inputs_embeds": torch.zeros(1, number, model.config.hidden_size, device="meta"),
        "position_ids": torch.zeros(1, number, dtype=torch.long, device="meta"),
        "attention_mask": torch.zeros(1, 1, number, number, dtype=torch.bool, device="meta"),
    }
    return _count(lambda: model(**inputs, use_cache=False))[1]


def _meta(make: Callable[[], Made]) -> Made:
    with torch.device("meta"):
        return make()


def _count(call: Callable[[], Made]) -> tuple[Made, int]:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        out = call()
    return out, counter.get_total_flops()


def _parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def table(effect: Table, cost: Table) -> str:
    """Both tables as plain text."""
    lines = [
        f"The same mixtures injected into the same rows, alpha {ALPHA:g}, {SIDE} x {SIDE} tokens, "
        f"{DRAWS} draws",
        _line("", ["published", "here"]),
        *(_line(name, [_number(v) for v in values]) for name, values in effect),
        "",
        f"Cost for a 7B model: hidden {LlamaConfig().hidden_size}, K {NUM_COMPONENTS}, "
        f"{SIDE**2} image and {TEXT_TOKENS} text tokens; FLOPs of one learning layer",
        _line("", ["published", *(f"width {width}" for width in WIDTHS)]),
        *(_line(name, [_number(v) for v in values]) for name, values in cost),
    ]
    return "\n".join(lines)


def _line(name: str, values: list[str]) -> str:
    return f"{name:<76}" + "".join(f"{value:>12}" for value in values)


def _number(value: float) -> str:
    if value == float("inf"):
        return "> 1e38"
    return f"{value:.4g}" if value < 1e4 else f"{value:.1e}"
