"""Fixtures shared by all tests."""

import pytest

from tests.tiny import tiny_session
from vif.scenes import draw_scene


@pytest.fixture(scope="session")
def session():
    return tiny_session()


@pytest.fixture(scope="session")
def image():
    return draw_scene(0).image
