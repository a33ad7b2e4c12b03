"""Which object a phrase names, and which one lies next to it, where no person would hesitate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vif.scenes.draw import Scene
from vif.scenes.world import SceneObject

NEARER = 1.25  # the runner-up must be this much farther away than the answer
_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}


def find_unique(scene: Scene, **wanted: str) -> SceneObject | None:
    """The one object with these attributes, None if there are none or several."""
    found = [o for o in scene.objects if all(getattr(o, k) == v for k, v in wanted.items())]
    return found[0] if len(found) == 1 else None


def descriptions(scene: Scene) -> Iterator[tuple[str, SceneObject, set[str]]]:
    """Every phrase that names exactly one object, with what the phrase gives away."""
    for item in scene.objects:
        if find_unique(scene, shape=item.shape) is item:
            yield f"the {item.shape}", item, {"shape"}
        if find_unique(scene, colour=item.colour) is item:
            yield f"the {item.colour} {{thing}}", item, {"colour"}
        if find_unique(scene, colour=item.colour, shape=item.shape) is item:
            yield f"the {item.colour} {item.shape}", item, {"colour", "shape"}


def neighbour(scene: Scene, item: SceneObject, relation: str) -> SceneObject | None:
    """The nearest object in a direction, None where a person could hesitate.

    Args:
        scene: The scene.
        item: The object to start from.
        relation: ``"nearest"`` or a direction; a direction is the 90-degree cone around it.

    Returns:
        The neighbour if it is at least 20 % nearer than the next candidate, and no other object
        near the border of the cone could be meant instead.
    """
    candidates = []
    for other in scene.objects:
        if other is item:
            continue
        dx, dy = other.x - item.x, other.y - item.y
        distance = float(np.hypot(dx, dy))
        inside = certain = True
        if relation != "nearest":
            ux, uy = _DIRECTIONS[relation]
            angle = np.degrees(np.arccos(np.clip((dx * ux + dy * uy) / distance, -1, 1)))
            inside, certain = angle < 55, angle < 35
        if inside:
            candidates.append((distance, certain, other))
    candidates.sort(key=lambda c: c[0])
    if not candidates or not candidates[0][1]:
        return None
    if len(candidates) > 1 and candidates[1][0] < NEARER * candidates[0][0]:
        return None
    return candidates[0][2]
