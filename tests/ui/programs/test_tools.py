"""What programs may call, by Gradio's client and, where it is installed, by a real MCP client."""

import ast
import asyncio
import base64
import io

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.support.tiny import tiny_session
from vif.methods import names
from vif.probes.ladder import LENGTHS
from vif.scenes import draw_scene
from vif.ui import build_demo, launch_options
from vif.ui.guard.files import NOT_UPLOADED


def serve(tmp_path_factory, **options):
    demo = build_demo(tiny_session(), assets=tmp_path_factory.mktemp("none"))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(), **options)
    return demo, url


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    demo, url = serve(tmp_path_factory)
    yield Client(url, verbose=False)
    demo.close()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    draw_scene(0).image.save(path)
    return path


def test_methods_are_listed_with_their_settings(client):
    found = client.predict(api_name="/methods")
    assert [method["name"] for method in found] == names()
    pai = next(method for method in found if method["name"] == "pai")
    assert {"name", "default", "low", "high", "text"} == set(pai["options"][0])


def test_attenuation_asks_at_every_length(client, picture):
    found = client.predict(handle_file(picture), "What?", "red", api_name="/attenuation")
    assert found["lengths"] == list(LENGTHS)
    assert set(found["methods"]) == {"plain", "vif"}
    for curves in found["methods"].values():
        assert len(curves["probability"]) == len(LENGTHS)
        assert all(0 <= share <= 1 for row in curves["image_share"] for share in row)


def test_without_an_answer_the_plain_one_is_tracked(client, picture):
    found = client.predict(handle_file(picture), "What?", "", api_name="/attenuation")
    assert isinstance(found["answer"], str)


def test_every_parameter_is_typed_and_described(client):
    found = client.view_api(return_format="dict")["named_endpoints"]
    assert set(found) == {"/ask", "/attenuation", "/methods"}
    for endpoint in found.values():
        assert endpoint["description"]
        for parameter in endpoint["parameters"]:
            assert parameter["parameter_name"]


@pytest.mark.parametrize("question", ["", "x" * 5000])
def test_a_mistake_gives_one_sentence(client, picture, question):
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(picture), question, "red", api_name="/attenuation")
    assert "went wrong" not in str(caught.value)


# --- MCP --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mcp_url(tmp_path_factory):
    pytest.importorskip("mcp")
    demo, url = serve(tmp_path_factory, mcp_server=True)
    yield f"{url}gradio_api/mcp/"
    demo.close()


def talk(url, work):
    """Lets a real client talk to the server."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def session():
        async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as s:
            await s.initialize()
            return await work(s)

    return asyncio.run(session())


def data_url():
    stream = io.BytesIO()
    draw_scene(0).image.save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def test_tools_have_their_names_and_complete_schemas(mcp_url):
    tools = talk(mcp_url, lambda s: s.list_tools()).tools
    assert {tool.name for tool in tools} == {"ask", "attenuation", "methods"}
    for tool in tools:
        assert tool.description
        for name, schema in tool.inputSchema["properties"].items():
            assert schema.get("description"), (tool.name, name)


def test_a_client_asks_and_gets_answers(mcp_url):
    given = {"image": data_url(), "question": "What?", "methods": ["plain"], "max_new_tokens": 2}
    found = talk(mcp_url, lambda s: s.call_tool("ask", given))
    assert not found.isError, found.content
    # Gradio 6.31 sends values as Python writes them.
    answers = ast.literal_eval(found.content[0].text)["answers"]
    assert len(answers["plain"]["tokens"]) == 2
    found = talk(mcp_url, lambda s: s.call_tool("methods", {}))
    assert "pai" in found.content[0].text


@pytest.mark.parametrize(
    ("image", "words"),
    [("http://127.0.0.1:9/a.png", NOT_UPLOADED), ("/etc/passwd", "Invalid file data format")],
)
def test_no_tool_fetches_an_address_or_opens_a_file(mcp_url, image, words):
    found = talk(mcp_url, lambda s: s.call_tool("ask", {"image": image, "question": "What?"}))
    assert found.isError
    assert words in found.content[0].text


def test_limits_hold_for_tools(mcp_url):
    given = {"image": data_url(), "question": "What?", "max_new_tokens": 10**6}
    found = talk(mcp_url, lambda s: s.call_tool("ask", given))
    assert found.isError
    assert "from 1 to 512" in found.content[0].text
