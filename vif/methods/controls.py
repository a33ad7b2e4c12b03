"""Controls that share VIF's edit: same layers, same strength, another map.

Without an adapter they share the edit of the training-free VIF: alpha itself on all heads.
"""

from __future__ import annotations

import numpy as np
import torch
from typing_extensions import override

from vif.adapter.mixture import MixtureParameters, render
from vif.errors import InputError
from vif.methods.base import Group, Method, Request, register
from vif.methods.given import GivenTap
from vif.methods.maps.base import MAPS
from vif.methods.vif import Choose, InjectingTap, MixingTap, SteeringMap
from vif.methods.vif_free import TrainingFreeTap, VIFFree


def named_map(name: str) -> Choose:
    """The map of that name; it needs no reading pass."""

    def choose(
        request: Request, draw: SteeringMap, _: int
    ) -> tuple[MixtureParameters, torch.Tensor]:
        return _no_components(draw), MAPS[name].make(request).to(draw.map)

    return choose


def at_random_places(
    request: Request, draw: SteeringMap, index: int
) -> tuple[MixtureParameters, torch.Tensor]:
    """The draw's own sigmas and weights at random places; see `Request.generators`."""
    own = draw.mixture
    means = np.stack([rng.random(own.means.shape[1:]) for rng in request.generators(index)])
    moved = MixtureParameters(torch.from_numpy(means).to(own.means), own.sigmas, own.weights)
    return moved, render(moved, request.batch.centres, draw.renderer)


def _no_components(draw: SteeringMap) -> MixtureParameters:
    return MixtureParameters(*(part[:, :0] for part in draw.mixture))


class Control(Method):
    """VIF's edit with another map.

    Attributes:
        choose: Makes the map.
        missing: What to give where `place` is not known.
    """

    choose: Choose
    missing: str = ""
    uses_ranges = True

    @override
    def tap(self, request: Request) -> InjectingTap:
        """At the strength of the request's adapter, if it has one.

        Raises:
            InputError: If the place that the control needs is not known.
        """
        if self.place and getattr(request, self.place) is None:
            raise InputError(f"Method {self.name!r} needs {self.missing}.")
        if request.adapter is None:
            return self.without_adapter(request)
        return MixingTap(request, request.adapter, self.choose)

    def without_adapter(self, request: Request) -> InjectingTap:
        """The control as it is injected without an adapter: at strength alpha."""
        return GivenTap(request, self.choose)


@register
class Uniform(Control):
    """Control: more attention on the image, evenly spread."""

    name = "uniform"
    label = "Uniform map"
    group = Group.PLACE
    summary = "Control: the same strength, uniform over the image."
    choose = staticmethod(named_map("uniform"))


@register
class Random(Control):
    """Control: a random place."""

    name = "random"
    label = "Random place"
    group = Group.PLACE
    summary = "Control: the same mixture at random places."
    choose = staticmethod(at_random_places)
    extra_passes = VIFFree.extra_passes
    adapter_saves = True

    @override
    def without_adapter(self, request: Request) -> InjectingTap:
        """Moves the mixture of the training-free VIF."""
        return TrainingFreeTap(request, self.choose)


@register
class Oracle(Control):
    """Upper bound: the true place."""

    name = "oracle"
    label = "True place"
    group = Group.PLACE
    summary = "Upper bound: the same strength on the true box."
    place = "truth"
    missing = "the true boxes: give boxes=[(x0, y0, x1, y1)]"
    choose = staticmethod(named_map("truth"))


@register
class Look(Control):
    """The place that a person has marked, or a mixture that a person has changed."""

    name = "look"
    label = "Look here"
    group = Group.PLACE
    summary = "The same strength on the place you mark."
    place = "look"
    missing = "a place: draw a box or paint on the image"
    choose = staticmethod(named_map("look"))
