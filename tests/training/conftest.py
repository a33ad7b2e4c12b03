"""Inputs of training runs that take seconds."""

import pytest

from tests.support.tiny_training import save_scenes, save_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_scenes(tmp_path_factory.mktemp("scenes"))
