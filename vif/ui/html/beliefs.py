"""Prior and posterior side by side; choosing an answer changes the right map."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from vif.beliefs.belief import Belief, Beliefs, LatentMap
from vif.inputs.boxes import Box
from vif.metrics import box_coverage
from vif.ui.html.stage import choices, frame, group, heat, picture, rings

_SAID = "The adapter does not record what it was trained on."


def belief_figure(
    found: Beliefs,
    image: Image.Image,
    boxes: Sequence[Box] = (),
    truth: str | None = None,
    place: str = "tab",
) -> str:
    """Both maps at the last learning layer on one scale, with numbers and the adapter's origin.

    Args:
        found: The beliefs.
        image: The picture.
        boxes: True places.
        truth: The right answer, if it is known.
        place: Name of its place on the page, which no other figure has.
    """
    layer = max(found.prior)
    prior, posteriors = found.prior[layer], [by_layer[layer] for by_layer in found.posteriors]
    top = max(float(shown_map(b).map.max()) for b in (prior, *posteriors))
    covered = box_coverage(found.cells, boxes) if boxes else None

    def drawn(belief: Belief) -> str:
        draw = shown_map(belief)
        own = rings(image, draw.means, draw.sigmas, draw.weights)
        return heat(image, found.cells, draw.map, top) + own

    guesses = "".join(
        rings(image, draw.means, draw.sigmas, draw.weights, faint=True) for draw in prior.samples
    )
    before = picture(
        image, "Map of the prior on the picture", guesses, drawn(prior), tone="vl-vif", boxes=boxes
    )
    maps = [group(i, drawn(belief)) for i, belief in enumerate(posteriors)]
    after = picture(
        image, "Map of the chosen posterior on the picture", *maps, tone="vl-vif", boxes=boxes
    )
    left = (
        f"<section><h4>Prior: without the answer</h4>{before}<p "
        f'class="vl-small">{_place(prior, covered)} Thin rings: {len(prior.samples)} samples '
        "of it.</p></section>"
    )
    right = "".join(frame(i, _numbers(belief, covered)) for i, belief in enumerate(posteriors))
    names = [f"{b.answer}{' (right)' if b.answer == truth else ''}" for b in posteriors]
    origin = f"The adapter: {found.trained_on}" if found.trained_on else _SAID
    return (
        f"{choices('What if the answer were', names, f'belief-{place}')}<div "
        f'class="vl-pair">{left}<section><h4>Posterior: given the '
        f'answer</h4>{after}{right}</section></div><p class="vl-small">From layer {layer}; '
        f"both maps share one scale, 0 to {top:.3f}. {escape(origin)}</p>"
    )


def shown_map(belief: Belief) -> LatentMap:
    """The shown map: the prior's mean, or for a posterior the prior times the likelihood."""
    return belief.refined or belief.mean


def share_in_place(draw: LatentMap, covered: np.ndarray) -> float:
    """Share of a map on tokens that touch the true place, in [0, 1]."""
    return float(draw.map[covered > 0].sum())


def _place(belief: Belief, covered: np.ndarray | None) -> str:
    if covered is None:
        return ""
    share = share_in_place(shown_map(belief), covered)
    return f"{100 * share:.0f} % of the map touches the true place."


def _numbers(belief: Belief, covered: np.ndarray | None) -> str:
    own = (
        ""
        if covered is None
        else f"{100 * share_in_place(belief.mean, covered):.0f} % on the place, "
    )
    return (
        f'<p class="vl-small"><b>If the answer were {escape(str(belief.answer))}:</b> '
        f"{_place(belief, covered)} The model alone gives it probability "
        f"{belief.probability:.2f}. The map is the prior times the likelihood of this answer "
        "for attention to each place (Bayes' rule). The adapter also has a learned posterior, "
        f"which is not shown: {own}overlap with the prior {100 * belief.overlap:.0f} %, KL "
        f"{belief.kl:.2f} nats per latent dimension. On test questions the learned posterior of "
        "the bundled adapter points hardly better than its prior.</p>"
    )
