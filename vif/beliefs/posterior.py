"""Prior and posterior: where VIF looks given the question alone, and given an answer as well.

The conditional VAE's prior p(z | I, Q) is what is injected; the posterior q(z | I, Q, A) has read
an answer as well, and exists only while an adapter is trained, or here. Both are read from one pass
over prompt and answer, which nothing steers. Beside the adapter's own posterior stands what it is
taught to be: the prior times what the answer's gradient says about every place, by Bayes' rule.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from typing_extensions import override

from vif import methods as registry
from vif.adapter import VIFAdapter
from vif.adapter.latent import Gaussian, kl_divergence
from vif.adapter.mixture import MixtureParameters, components, soft_argmax
from vif.adapter.outputs import ImageMemory
from vif.beliefs.belief import Belief, Beliefs, LatentMap
from vif.beliefs.likeliest import likeliest_answers
from vif.errors import InputError
from vif.methods.evidence import log_likelihood
from vif.methods.forced import Forced
from vif.methods.vif import rows_read
from vif.model.attention import Tap
from vif.model.batch import Batch
from vif.model.generation import open_stream
from vif.model.prompt import TEXT_INPUTS, Prompt
from vif.question import Question
from vif.session import Session
from vif.settings import Settings

SAMPLES = 12
TINY = 1e-12


def beliefs(
    session: Session,
    question: Question,
    answers: Sequence[str] = (),
    *,
    settings: Settings | None = None,
    samples: int = SAMPLES,
    cancel: threading.Event | None = None,
) -> Beliefs:
    """Reads the prior of a question and the posteriors of answers to it.

    Args:
        session: A model with an adapter.
        question: The question.
        answers: Known or supposed answers; the model's own likeliest if there are none.
        settings: The session's defaults if None; `learning`, `stride`, `injection` and `seed`
            count.
        samples: How many latents to draw, >= 0.
        cancel: Stops between two passes.

    Raises:
        InputError: If there is no adapter, an answer has no tokens, or anything else that is given
            cannot be used.
        Cancelled: If `cancel` was set.
    """
    adapter = session.adapter
    if adapter is None:
        raise InputError(
            "Prior and posterior need a VIF adapter, and none is loaded: give one with --adapter."
        )
    settings = settings or session.defaults
    settings.check(session.num_layers)
    question = question.opened()
    if not answers:
        answers = likeliest_answers(session, question, cancel=cancel)
    ids = [session.backbone.answer_ids(answer) for answer in answers]
    forced = Forced(registry.find("plain"), ids)
    longest = replace(settings, max_new_tokens=max(map(len, ids)))
    session.ask_batch([question] * len(ids), [forced], longest, cancel)
    chances = [float(np.exp(total)) for total, _ in forced.outcomes()]
    prompt = session.encode(question)
    found = _read(session, prompt, ids, settings, samples)
    prior = {layer: pair.prior for layer, pair in found.items()}
    posteriors = tuple(
        {
            layer: replace(pair.posteriors[i], answer=answer, probability=chances[i])
            for layer, pair in found.items()
        }
        for i, answer in enumerate(answers)
    )
    layout = prompt.layout
    where = (layout.centres, layout.cells, layout.blocks)
    return Beliefs(prior, posteriors, *where, adapter.config.trained_on)


class _States(Tap):
    """Keeps the hidden states after some layers."""

    def __init__(self, layers: Sequence[int]) -> None:
        self.layers, self.found = layers, {}

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        if layer in self.layers:
            self.found[layer] = states


class _Pair(NamedTuple):
    prior: Belief
    posteriors: list[Belief]


@torch.no_grad()
def _read(
    session: Session, prompt: Prompt, ids: list[list[int]], settings: Settings, samples: int
) -> dict[int, _Pair]:
    """One pass over the prompt followed by every answer, as in training."""
    end = session.backbone.processor.tokenizer.eos_token_id
    read = [tokens if end is None else [*tokens, end] for tokens in ids]
    batch = Batch.make(session.backbone, [_answered(prompt, tokens) for tokens in read])
    assert session.adapter is not None  # checked before anything is read
    said = log_likelihood(
        session.backbone.model,
        Batch.make(session.backbone, [prompt] * len(ids)),
        session.backbone.num_heads,
        ids,
    )
    tap = _States(sorted(set(settings.sources().values())))
    open_stream(session.backbone.model, dict(batch.inputs)).advance(tap)
    answer = torch.zeros_like(batch.question)
    for i, tokens in enumerate(read):
        answer[i, answer.shape[1] - len(tokens) :] = True
    return {
        layer: _refined(
            _beliefs(session.adapter, batch, states, answer, settings.seed, samples), said, batch
        )
        for layer, states in tap.found.items()
    }


def _refined(pair: _Pair, said: torch.Tensor, batch: Batch) -> _Pair:
    """Adds the prior times the likelihood of every answer; `said` is log p(answer | place)."""
    posteriors = [
        replace(one, refined=condition(pair.prior.mean, said[i], batch.centres[i].cpu()))
        for i, one in enumerate(pair.posteriors)
    ]
    return _Pair(pair.prior, posteriors)


def condition(draw: LatentMap, log_likelihood: torch.Tensor, centres: torch.Tensor) -> LatentMap:
    """A mixture after an observation at places, by Bayes' rule.

    The map is exact. Each component is the Gaussian with the mean and the spread of that component
    times the likelihood, weighted by how well it explains the observation.

    Args:
        draw: The mixture before.
        log_likelihood: Of the observation at every token, up to a constant, (N,).
        centres: Token centres, (N, 2).
    """
    means, sigmas, weights, tokens = (
        torch.as_tensor(part).double()[None]
        for part in (draw.means, draw.sigmas, draw.weights, draw.map)
    )
    said = log_likelihood.double()[None]
    spread = components(MixtureParameters(means, sigmas, weights), centres).double()
    joint = spread.clamp_min(TINY).log() + said[:, None]
    evidence = joint.logsumexp(-1)
    # No component may become narrower than half the narrowest one before.
    moved, widths = soft_argmax(joint.softmax(-1).float(), centres, float(sigmas.min()) / 2)
    explained = (weights.clamp_min(TINY).log() + evidence).softmax(-1)
    after = (tokens.clamp_min(TINY).log() + said).masked_fill(centres.isnan().any(-1), -torch.inf)
    parts = (moved, widths, explained, after.softmax(-1))
    return LatentMap(*(part[0].float().numpy() for part in parts))


def _answered(prompt: Prompt, tokens: Sequence[int]) -> Prompt:
    """A prompt followed by an answer."""
    inputs = dict(prompt.inputs)
    for name in TEXT_INPUTS:
        if name in inputs:
            fill = 1 if name == "attention_mask" else 0
            more = inputs[name].new_full((1, len(tokens)), fill)
            if name == "input_ids":
                more = inputs[name].new_tensor([list(tokens)])
            inputs[name] = torch.cat([inputs[name], more], 1)
    return replace(prompt, inputs=inputs)


def _beliefs(
    adapter: VIFAdapter,
    batch: Batch,
    states: torch.Tensor,
    answer: torch.Tensor,
    seed: int,
    samples: int,
) -> _Pair:
    """Prior and posteriors from the states of one learning layer; `answer` (B, S) bool."""
    states = states.to(batch.columns.device).float()
    index = batch.columns[..., None].expand(-1, -1, states.shape[-1])
    memory = adapter.remember(states.gather(1, index), batch.centres)
    question = rows_read(adapter, batch) & ~answer
    prior = adapter.latent(memory.tokens, states, question)
    posterior = adapter.latent(memory.tokens, states, question, answer)
    kl = kl_divergence(posterior, prior)
    # No answer comes before its question: every row has the same prior.
    (first, *_), after = (
        _draws(adapter, batch, memory, latent, seed, samples) for latent in (prior, posterior)
    )
    believed = [
        Belief(None, np.nan, mean, drawn, float(kl[i]), overlap(mean.map, first[0].map))
        for i, (mean, drawn) in enumerate(after)
    ]
    return _Pair(Belief(None, np.nan, *first, 0.0, 1.0), believed)


def _draws(
    adapter: VIFAdapter,
    batch: Batch,
    memory: ImageMemory,
    latent: Gaussian,
    seed: int,
    samples: int,
) -> list[tuple[LatentMap, tuple[LatentMap, ...]]]:
    """Per prompt the mean latent and samples, rendered."""
    generator = torch.Generator().manual_seed(seed)
    latents = [latent.mean, *(adapter.draw(latent, generator) for _ in range(samples))]
    by_latent = []
    for z in latents:
        out = adapter.render(memory, z)
        mixture = MixtureParameters(out.means, out.sigmas, out.weights)
        arrays = (*adapter.place(mixture, batch.centres), out.map)
        parts = [part.float().cpu().numpy() for part in arrays]
        by_latent.append([LatentMap(*(part[i] for part in parts)) for i in range(len(batch))])
    return [(mean, tuple(drawn)) for mean, *drawn in zip(*by_latent, strict=True)]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Histogram intersection of two maps that sum to 1, sum_n min(a_n, b_n), in [0, 1]."""
    return float(np.minimum(a, b).sum())
