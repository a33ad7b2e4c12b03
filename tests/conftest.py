"""Fixtures shared by all tests."""

import gc
import signal

import pytest

from tests.support.tiny import tiny_session
from vif.scenes import draw_scene


def pytest_configure():
    """Programs that tests start end on Ctrl-C, even where a shell runs the tests in the background.

    Such a shell makes them ignore it, and what they start inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def uploads(tmp_path_factory):
    """Processes that run tests side by side do not remove one another's uploads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        yield


@pytest.fixture(scope="session")
def session():
    return tiny_session()


@pytest.fixture(scope="session")
def image():
    return draw_scene(0).image


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With ``-n``, tests of one file share a process and its fixtures, as do all browser tests."""
    for item in items:
        is_browser = item.get_closest_marker("browser") is not None
        group = "browser" if is_browser else item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish():
    """Exempts what is imported by now from garbage collection, which takes a tenth of the time."""
    gc.collect()
    gc.freeze()
