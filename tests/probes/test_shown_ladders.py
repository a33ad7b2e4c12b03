"""What the page shows first must not contradict what it is about: more text, less of the answer."""

from pathlib import Path

import pytest

import vif
from vif.probes import attenuation_ladder
from vif.ui.lessons.reveal import asked
from vif.ui.state.examples import read_examples

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def shipped():
    return vif.load(ASSETS / "demo-vlm", ASSETS / "demo-vif")


@pytest.fixture(scope="module")
def examples():
    return read_examples(ASSETS / "examples")


@pytest.mark.parametrize("label", ["Fixed by VIF", "Lost in text"])
def test_text_only_takes_from_an_example_and_vif_gives_back(shipped, examples, label):
    """The first example is the page's default; the other is the ladder's lesson."""
    assert examples[0].label == "Fixed by VIF"
    (example,) = [one for one in examples if one.label == label]
    found = attenuation_ladder(shipped, asked(example))
    assert found.falls("plain")
    plain, steered = found.probability
    assert steered.mean() > plain.mean() + 0.1
    assert (found.share[1].mean(1) > found.share[0].mean(1)).all()
