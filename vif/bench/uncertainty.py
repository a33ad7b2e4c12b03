"""Evaluates the variational part: prior against posterior, and the spread of samples.

Three questions, asked about scenes whose truth is known. Does reading the answer help the posterior
to point? Do samples of the latent differ, and do they differ more where the answer is wrong? And
where two places are right, does the map name both?
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from vif import metrics
from vif.beliefs.belief import Belief
from vif.beliefs.posterior import beliefs
from vif.bench.outcomes import interval
from vif.bench.questions import endless_items
from vif.bench.running import ANSWER_TOKENS, BATCH_SIZE
from vif.progress import Progress
from vif.question import Question
from vif.scenes import Scene, SceneQuestion, draw_scene, is_correct
from vif.scenes.ambiguous import Pair, ask_ambiguous
from vif.session import Session
from vif.settings import Settings
from vif.trace import Trace

# A place counts as named if it holds this share of the map.
NAMED = 0.15
# Before the answer; after it, as the adapter learned it; after it, by Bayes' rule.
SIDES = ("prior", "posterior", "prior x likelihood")


@dataclass(frozen=True)
class _Reading:
    """Beliefs about one question, at the last learning layer.

    Attributes:
        prior: Mean map without the answer, (N,).
        posteriors: Mean maps of the adapter's own posterior after each right answer, (N,).
        refined: Maps of the prior times the likelihood of each right answer, (N,).
        truths: For each right answer, the share of every token's cell in its boxes, (N,).
        kl: Of each posterior and the prior, nats per dimension.
        spread: Mean distance of the prior's samples from their average, in [0, 1].
        scene: Number of the scene.
    """

    prior: np.ndarray
    posteriors: tuple[np.ndarray, ...]
    refined: tuple[np.ndarray, ...]
    truths: tuple[np.ndarray, ...]
    kl: tuple[float, ...]
    spread: float
    scene: int


def measure(
    session: Session,
    split: str,
    num_questions: int,
    num_ambiguous: int,
    samples: int,
    settings: Settings,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Reads prior and posterior of every question and asks the model by every sample.

    Args:
        session: A model with an adapter.
        split: One of `vif.scenes.SPLITS`.
        num_questions: Questions with one right place, of the benchmark.
        num_ambiguous: Questions with two.
        samples: Latents drawn per question.
        settings: `learning`, `injection`, `alpha` and `seed` count.
        progress: Called with (questions read, questions in all).

    Returns:
        ``pointing`` of prior, posterior and prior times likelihood; ``kl``; ``changed``, the share
        of answers that a sample changes; ``auroc`` of what may predict a wrong answer; and
        ``ambiguous``, None without such questions.

    Raises:
        InputError: If there is no adapter, or a setting does not fit the model.
    """
    drawn = (item for item in endless_items(split, settings.seed) if item.boxes)
    plain = list(islice(drawn, num_questions))
    pairs = list(islice(_ambiguous(split, settings.seed), num_ambiguous))
    total, read = num_questions + num_ambiguous, []

    def note(found: _Reading) -> _Reading:
        read.append(found)
        if progress is not None:
            progress(len(read), total)
        return found

    single = [
        note(_read(session, item.scene, (item.question,), samples, settings)) for item in plain
    ]
    double = [note(_read(session, scene, pair, samples, settings)) for scene, pair in pairs]
    asked = [item.as_question for item in plain]
    traces = _ask(session, asked, settings)
    answers = [trace.answer for trace in traces]
    right = np.array(
        [is_correct(a, item.question.answer) for a, item in zip(answers, plain, strict=True)]
    )
    drawn_answers = [
        [trace.answer for trace in _ask(session, asked, replace(settings, samples=1, seed=seed))]
        for seed in range(settings.seed, settings.seed + samples)
    ]
    changed = np.array(
        [[a != b for a, b in zip(answers, row, strict=True)] for row in drawn_answers]
    )
    doubts = _doubts(single, traces)
    return {
        "split": split,
        "n": len(plain),
        "samples": samples,
        "pointing": _pointing(single),
        "kl": float(np.mean([found.kl[0] for found in single])),
        "accuracy": float(right.mean()),
        "changed": float(changed.mean()),
        "auroc": {name: auroc(values, ~right) for name, values in doubts.items()},
        "ambiguous": _of_ambiguous(session, pairs, single, double, settings) if pairs else None,
    }


def _doubts(readings: Sequence[_Reading], traces: Sequence[Trace]) -> dict[str, np.ndarray]:
    """What may predict a wrong answer, (n,) each by name; higher is more doubtful."""
    return {
        "spread of the samples": np.array([found.spread for found in readings]),
        "entropy of the map": np.array([_entropy(found.prior) for found in readings]),
        "1 - probability of the answer": np.array(
            [1 - np.exp(trace.logprobs.sum()) for trace in traces]
        ),
    }


def _ambiguous(split: str, seed: int) -> Iterator[tuple[Scene, Pair]]:
    number = seed * 1_000_000
    while True:
        scene = draw_scene(number, split)
        for pair in ask_ambiguous(scene, number):
            yield scene, pair
        number += 1


def _ask(session: Session, asked: Sequence[Question], settings: Settings) -> list[Any]:
    """Answers by VIF, in batches."""
    settings = replace(settings, max_new_tokens=ANSWER_TOKENS)
    found = []
    for start in range(0, len(asked), BATCH_SIZE):
        found += session.ask_batch(asked[start : start + BATCH_SIZE], ["vif"], settings)["vif"]
    return found


def _read(
    session: Session,
    scene: Scene,
    right: Sequence[SceneQuestion],
    samples: int,
    settings: Settings,
) -> _Reading:
    """Beliefs about the words of `right`, which differ in answer and place alone."""
    question = Question(scene.image, right[0].text)
    answers = [one.answer for one in right]
    found = beliefs(session, question, answers, settings=settings, samples=samples)
    prior = _last(found.prior)
    posteriors = [_last(by_layer) for by_layer in found.posteriors]
    return _Reading(
        prior.mean.map,
        tuple(one.mean.map for one in posteriors),
        tuple(one.refined.map for one in posteriors if one.refined is not None),
        tuple(metrics.box_coverage(found.cells, one.boxes_on(scene)) for one in right),
        tuple(one.kl for one in posteriors),
        _spread(prior),
        scene.seed,
    )


def _last(by_layer: dict[int, Belief]) -> Belief:
    return by_layer[max(by_layer)]


def _spread(belief: Belief) -> float:
    """Mean total variation distance of samples from their average."""
    maps = np.stack([draw.map for draw in belief.samples])
    return float(np.abs(maps - maps.mean(0)).sum(1).mean() / 2)


def _entropy(weights: np.ndarray) -> float:
    return float(-(weights * np.log(np.maximum(weights, 1e-12))).sum())


def _pointing(readings: Sequence[_Reading]) -> dict[str, Any]:
    """Pointing game at the place of every right answer, and the differences to the prior."""
    scenes, hits = [], {name: [] for name in SIDES}
    for found in readings:
        for i, truth in enumerate(found.truths):
            scenes.append(found.scene)
            maps = (found.prior, found.posteriors[i], found.refined[i])
            for name, weights in zip(SIDES, maps, strict=True):
                hits[name].append(float(metrics.points_into(weights, truth)))
    clusters, prior = np.array(scenes), np.array(hits["prior"])
    result: dict[str, dict[str, Any]] = {
        name: {"share": float(np.mean(values))} for name, values in hits.items()
    }
    for name in SIDES[1:]:
        gained = np.array(hits[name]) - prior
        result[name] |= {
            "difference": float(gained.mean()),
            "difference_interval": interval(gained, clusters),
        }
    return result


def _of_ambiguous(
    session: Session,
    pairs: Sequence[tuple[Scene, Pair]],
    single: Sequence[_Reading],
    double: Sequence[_Reading],
    settings: Settings,
) -> dict[str, Any]:
    """Questions that two places answer."""
    asked = [Question(scene.image, first.text) for scene, (first, _) in pairs]
    right = [
        any(is_correct(trace.answer, one.answer) for one in pair)
        for trace, (_, pair) in zip(_ask(session, asked, settings), pairs, strict=True)
    ]
    named = [[_mass(found.prior, truth) >= NAMED for truth in found.truths] for found in double]
    is_double = np.repeat([False, True], [len(single), len(double)])
    spreads = np.array([found.spread for found in (*single, *double)])
    entropies = np.array([_entropy(found.prior) for found in (*single, *double)])
    return {
        "n": len(pairs),
        "accuracy": float(np.mean(right)),
        "one_place": float(np.mean([any(both) for both in named])),
        "both_places": float(np.mean([all(both) for both in named])),
        "pointing": _pointing(double),
        "auroc": {
            "spread of the samples": auroc(spreads, is_double),
            "entropy of the map": auroc(entropies, is_double),
        },
    }


def _mass(weights: np.ndarray, truth: np.ndarray) -> float:
    """Weight on the tokens that a truth touches."""
    return float(weights[truth > 0].sum())


def auroc(values: np.ndarray, positive: np.ndarray) -> float | None:
    """How often a positive has the larger value of a positive and a negative, ties half, [0, 1].

    Args:
        values: (n,).
        positive: (n,) bool; None is returned unless both kinds are there.
    """
    if positive.all() or not positive.any():
        return None
    gap = values[positive][:, None] - values[~positive][None]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean())
