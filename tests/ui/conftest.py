"""What tests of the page begin with, on a session without a model."""

import pytest

from tests.support.fake_page import PICTURE, ask, wired


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    PICTURE.save(path)
    return str(path)


@pytest.fixture
def result():
    return ask()


@pytest.fixture
def wiring():
    return wired()
