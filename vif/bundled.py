"""What ships with the package: the small model, its adapter and example pictures."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vif.errors import InputError

MODEL, ADAPTER = "demo-vlm", "demo-vif"


def _places(name: str) -> tuple[Path, Path]:
    """A wheel holds the assets inside the package, a checkout beside it."""
    package = Path(str(resources.files("vif")))
    return package / "_assets" / name, package.parent / "assets" / name


def path(name: str) -> Path:
    """Path of a folder of the bundled assets.

    Args:
        name: ``"demo-vlm"``, ``"demo-vif"`` or ``"examples"``.

    Raises:
        InputError: If it is missing.
    """
    places = _places(name)
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise InputError(
            f"The bundled {name} is missing from {places[0].parent}: install VIF Lens again, or "
            "name another model."
        )
    return found


def is_model(name_or_folder: str | Path) -> bool:
    """Whether a name or folder denotes the bundled model."""
    return Path(name_or_folder).resolve() in {place.resolve() for place in _places(MODEL)}
