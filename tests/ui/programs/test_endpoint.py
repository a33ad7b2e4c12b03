"""The endpoint `/ask`: defaults, every setting, and errors."""

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.support.fake_page import QUESTION
from tests.support.fake_session import LAYERS, FakeSession
from vif.ui import build_demo, launch_options


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    demo = build_demo(FakeSession(), assets=tmp_path_factory.mktemp("assets"))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield Client(url, verbose=False)
    demo.close()


def test_the_endpoint_answers_with_defaults(client, picture):
    answer = client.predict(image=handle_file(picture), question=QUESTION, api_name="/ask")
    assert set(answer["answers"]) == {"plain", "vif"}
    assert len(answer["attenuation"]["vif"]) == LAYERS
    assert [m["layer"] for m in answer["mixtures"]] == [5, 6, 7]


def test_the_endpoint_takes_every_setting_by_position(client, picture):
    answer = client.predict(
        handle_file(picture), QUESTION, "", ["plain"], 2, 3, 4, 5, 1, 0.3, 8, 0, api_name="/ask"
    )
    assert list(answer["answers"]) == ["plain"]
    assert answer["mixtures"] == []


def test_the_endpoint_tells_what_is_wrong_in_one_sentence(client, picture):
    with pytest.raises(AppError, match="injection range"):
        client.predict(
            handle_file(picture), QUESTION, injection_start=7, injection_end=5, api_name="/ask"
        )


def test_the_endpoint_names_a_file_that_is_not_an_image(client, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    with pytest.raises(AppError, match=r"notes\.png"):
        client.predict(handle_file(str(path)), QUESTION, api_name="/ask")
