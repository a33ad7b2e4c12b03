"""No request reads a file of the server, and no other site sends requests for a visitor."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio.state_holder import SessionState
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tests.support.fake_session import FakeSession
from vif.ui import build_demo, launch_options
from vif.ui.guard.files import NOT_UPLOADED
from vif.ui.guard.origin import RequestGuard, is_loopback, request_guard
from vif.ui.serve import SPACE_PROXIES

PICTURE = Image.new("RGB", (40, 30), (200, 40, 40))
STATES = {}
# A busy machine takes its time.
HTTP = httpx.Client(timeout=120)
META = {"_type": "gradio.FileData"}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The upload cache of the pages of this file."""
    folder = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """A picture of the server that nobody uploaded."""
    path = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    PICTURE.save(path)
    return path


@pytest.fixture(scope="module")
def demo(cache, tmp_path_factory):
    """The page with all optional parts."""
    demo = build_demo(FakeSession(), assets=Path(__file__).parents[3] / "assets", model_box=True)
    STATES[demo] = SessionState(demo)
    return demo


@pytest.fixture(scope="module")
def url(demo):
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield url.rstrip("/")
    demo.close()


@pytest.fixture(scope="module")
def foreign(cache, secret):
    """Values that name a file which was not uploaded, by what they try."""
    (cache / "link.png").symlink_to(secret)
    (cache / "folder").symlink_to(secret.parent)
    inside = cache / "inside.png"
    PICTURE.save(inside)
    named = {
        "outside": secret,
        "that does not exist": secret.with_name("none.png"),
        "a folder": secret.parent,
        "the cache itself": cache,
        "a link": cache / "link.png",
        "through a linked folder": cache / "folder" / "secret.png",
        "dots": f"{cache}/../{secret.parent.name}/{secret.name}",
        "relative": "app.py",
        "a URL": "http://127.0.0.1:1/picture.png",
        "a file URL": f"file://{secret}",
        "a data URL": PIXEL,
        "a zero byte": f"{inside}\0",
        "far too long": "a" * 5000,
        "empty": "",
    }
    files = {f"{words}, {kind}": {"path": str(path), **more}
             for words, path in named.items()
             for kind, more in (("bare", {}), ("marked", {"meta": META}))}  # fmt: skip
    files["a URL alone"] = {"path": None, "url": "http://127.0.0.1:1/a.png", "meta": META}
    files["a data URL alone"] = {"path": None, "url": PIXEL, "meta": META}
    files["no path at all"] = {"meta": META}
    files["a number"] = {"path": 5, "meta": META}
    files["a good URL beside"] = {"path": str(secret), "url": str(inside), "meta": META}
    return files


async def ask(demo, fn, inputs, event=None):
    """The response to a request: the message of its error, or the function's output."""
    try:
        return await demo.process_api(fn, inputs, state=STATES[demo], event_data=event)
    except gr.Error as error:
        return error.message


def answers_of(demo, requests):
    """The response to each request, by what it tries.

    In a thread of its own: after a browser test Playwright keeps an event loop in this one.
    """

    async def ask_all():
        return {tried: await ask(demo, *request) for tried, request in requests.items()}

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, ask_all()).result()


def takes_pictures(component):
    return isinstance(component, gr.Image)


def test_every_function_refuses_every_file_that_was_not_uploaded(demo, foreign):
    requests = {}
    for fn in demo.fns.values():
        for at, component in enumerate(fn.inputs):
            for number, (words, file) in enumerate(foreign.items()):
                # Every kind for every picture; elsewhere a quarter of them for each place, so that
                # all kinds meet all functions and the test takes seconds.
                if not takes_pictures(component) and (number + at) % 4:
                    continue
                # Without a mark only a picture's place is one where "" stands for a file.
                if not takes_pictures(component) and file == {"path": ""}:
                    continue
                inputs = [None] * len(fn.inputs)
                inputs[at] = file if takes_pictures(component) else [{"deep": [file]}]
                requests[fn._id, fn.name, at, words] = fn, inputs
    answers = answers_of(demo, requests)
    assert {tried for tried, found in answers.items() if found != NOT_UPLOADED} == set()
    assert {number for number, *_ in answers} == {fn._id for fn in demo.fns.values() if fn.inputs}


def test_every_event_refuses_them_in_what_it_brings(demo, foreign):
    requests = {
        (fn._id, fn.name, words): (
            fn, [None] * len(fn.inputs), gr.EventData(None, {"index": 0, "value": file})
        )
        for fn in demo.fns.values()
        for words, file in foreign.items()
        if file != {"path": ""}
    }  # fmt: skip
    answers = answers_of(demo, requests)
    assert answers
    assert {tried for tried, found in answers.items() if found != NOT_UPLOADED} == set()


def test_a_picture_is_not_plain_text(demo, secret):
    places = [(fn, at) for fn in demo.fns.values() for at, c in enumerate(fn.inputs)
              if takes_pictures(c)]  # fmt: skip
    assert len(places) >= 3
    requests = {}
    for fn, at in places:
        for value in (str(secret), PIXEL, 5, True):
            given = [None] * len(fn.inputs)
            given[at] = value
            requests[fn._id, at, value] = fn, given
    assert set(answers_of(demo, requests).values()) == {NOT_UPLOADED}


def call(url, image):
    """The last message of `/ask`, as a program without Gradio's client gets it."""
    data = [image, "What colour is the star?", "", ["plain"], 3, 4, 5, 7, 1, 0.5, 4, 0, {}, []]
    address = f"{url}/gradio_api/call/ask"
    event = HTTP.post(address, json={"data": data}).json()["event_id"]
    return HTTP.get(f"{address}/{event}").text


def test_over_http_what_exists_elsewhere_looks_like_what_does_not(url, foreign):
    answers = {call(url, file) for words, file in foreign.items() if file.get("path") != ""}
    assert len(answers) == 1
    (words,) = answers
    assert words.startswith("event: error")
    assert json.loads(words.split("data: ")[1])["error"] == NOT_UPLOADED


def test_the_page_s_own_run_gives_no_picture_away(demo, url, secret):
    """The reproduction: a heatmap of opacity 0 over the picture is the picture."""
    run = next(fn for fn in demo.fns.values() if fn.name == "run")
    inputs = [None if isinstance(c, gr.State) else c.value for c in run.inputs]
    inputs[next(i for i, c in enumerate(run.inputs) if takes_pictures(c))] = {"path": str(secret)}
    joined = HTTP.post(
        f"{url}/gradio_api/queue/join",
        json={"data": inputs, "fn_index": run._id, "session_hash": "stranger"},
    )
    assert joined.status_code == 200
    with HTTP.stream("GET", f"{url}/gradio_api/queue/data?session_hash=stranger") as lines:
        for line in filter(None, lines.iter_lines()):
            message = json.loads(line.removeprefix("data: "))
            if message["msg"] == "process_completed":
                break
    assert message["success"] is False
    assert message["output"]["error"] == NOT_UPLOADED


def test_what_was_uploaded_is_answered_about(url, cache, secret):
    """Uploads are the only way in, and an uploaded file needs no mark."""
    found = Client(url, verbose=False).predict(
        handle_file(str(secret)), "What colour is the star?", methods=["plain"], api_name="/ask"
    )
    assert "plain" in found["answers"]
    with secret.open("rb") as file:
        (path,) = HTTP.post(f"{url}/gradio_api/upload", files={"files": file}).json()
    assert Path(path).is_relative_to(cache)
    assert call(url, {"path": path}).startswith("event: complete")
    with pytest.raises(AppError, match=r"[Ii]mage"):
        Client(url, verbose=False).predict(None, "What?", api_name="/ask")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("v2/ask", {"nonsense": 1}),
        ("v2/ask", {}),
        ("v2/nothing", {"question": "What?"}),
        ("nothing", {"data": []}),
        ("ask", {"data": "text"}),
        ("ask", {}),
        ("ask", []),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_without_a_trace(url, path, body, capfd, caplog):
    answer = HTTP.post(f"{url}/gradio_api/call/{path}", json=body)
    assert 400 <= answer.status_code < 500
    assert answer.text.strip()
    assert "Traceback" not in capfd.readouterr().err
    assert not any(record.exc_info for record in caplog.records)
    assert len(caplog.records) <= 1


# --- who asks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "192.168.0.7", "", "[::1"])
def test_a_foreign_name_for_this_machine_is_refused(url, host):
    for path in ("/", "/config", "/gradio_api/info"):
        answer = HTTP.get(url + path, headers={"Host": host})
        assert answer.status_code in (400, 421)
        assert "components" not in answer.text


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_every_name_of_this_machine_is_served(url, host):
    assert HTTP.get(f"{url}/config", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://[broken"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://behind.a.proxy"}, 200),
        ({"Origin": "http://behind.a.proxy", "X-Forwarded-Host": "behind.a.proxy"}, 200),
    ],
)
def test_another_site_may_not_post(url, headers, status):
    body = {"data": [None] * 14}
    answer = HTTP.post(f"{url}/gradio_api/call/ask", json=body, headers=headers)
    assert answer.status_code == status
    own = HTTP.post(f"{url}/gradio_api/call/ask", json=body, headers={"Origin": url})
    assert own.status_code == 200


def test_the_host_is_checked_only_where_the_page_is_for_this_machine():
    def is_local(host):
        return request_guard(host).kwargs["is_local"]

    assert all(map(is_local, ("127.0.0.1", "localhost", "::1")))
    assert not any(map(is_local, ("0.0.0.0", "192.168.0.7", "::")))
    assert not is_loopback("localhost.evil.example")


# --- behind the proxies of a Space -------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # The page in its frame on the Hub sends to its own address.
        ({"Origin": "https://me-lens.hf.space", "Sec-Fetch-Site": "same-origin"}, 200),
        # A browser too old to say which site it is on.
        ({"Origin": "https://me-lens.hf.space"}, 200),
        # A custom domain in front of the Space's.
        ({"Origin": "https://lens.org", "X-Forwarded-Host": "lens.org, me-lens.hf.space"}, 200),
        ({"Origin": "https://evil.hf.space", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.hf.space"}, 403),
        ({"Origin": "https://huggingface.co", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_a_space_s_own_page_may_post_and_no_other(headers, status):
    guarded = RequestGuard(PlainTextResponse("through"), is_local=is_loopback("0.0.0.0"))
    client = TestClient(guarded, base_url="http://me-lens.hf.space")
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert client.post("/gradio_api/queue/join", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("error", "status", "words", "level"),
    [
        (KeyError("image"), 400, "malformed", "WARNING"),
        (OSError(28, "No space left on device"), 500, "internal error", "ERROR"),
    ],
)
def test_a_fault_of_the_server_is_not_blamed_on_the_request(error, status, words, level, caplog):
    async def fail(scope, receive, send):
        raise error

    answer = TestClient(RequestGuard(fail, is_local=True), base_url="http://localhost").get("/")
    assert answer.status_code == status
    assert words in answer.text
    assert [
        record.levelname for record in caplog.records if record.name == RequestGuard.__module__
    ] == [level]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.16.3.80", "203.0.113.7", "203.0.113.7"),
        ("10.16.3.80", "6.6.6.6, 203.0.113.7, 10.0.4.4", "203.0.113.7"),
        ("203.0.113.9", "6.6.6.6", "203.0.113.9"),
    ],
)
def test_a_visitor_of_a_space_has_the_address_that_its_proxies_saw(peer, forwarded, address):
    """The Space's own proxies are trusted; addresses that a visitor adds are not."""

    async def tell(scope, receive, send):
        await PlainTextResponse(scope["client"][0])(scope, receive, send)

    proxied = ProxyHeadersMiddleware(tell, trusted_hosts=SPACE_PROXIES)
    client = TestClient(proxied, client=(peer, 1))
    assert client.get("/", headers={"X-Forwarded-For": forwarded}).text == address
