"""Who may send requests: nobody under a foreign name, and no other site in a visitor's name."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_SAFE = ("GET", "HEAD", "OPTIONS")
_FOREIGN_HOST = (
    "This page is for its own machine only: open it as http://localhost, with its port, or start "
    "it with --host 0.0.0.0 to serve others.\n"
)
_FOREIGN_ORIGIN = "Another site may not send requests to this page: open the page itself.\n"


class RequestGuard:
    """Refuses requests that a foreign site makes a visitor's browser send.

    Against cross-site requests it does as ``http.CrossOriginProtection`` of Go's standard library:
    ``Sec-Fetch-Site`` decides where a browser sends it, else ``Origin`` must be the page's own
    host; programs send neither. Against DNS rebinding, where a foreign name points to this
    machine and browsers call all of it one origin, ``Host`` must be a name of this machine.
    """

    def __init__(self, app: ASGIApp, is_local: bool) -> None:
        self.app, self.is_local = app, is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with one sentence."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if self.is_local and not is_loopback(_host(headers.get("host", ""))):
                refusal = PlainTextResponse(_FOREIGN_HOST, 421)
                return await refusal(scope, receive, send)
            if scope["method"] not in _SAFE and _is_foreign(headers):
                refusal = PlainTextResponse(_FOREIGN_ORIGIN, 403)
                return await refusal(scope, receive, send)
        return await self.app(scope, receive, send)


def request_guard(host: str) -> dict[str, Any]:
    """Returns the part of ``launch()`` that guards requests.

    Args:
        host: Where the page is served; on a loopback address it is for this machine only.
    """
    return {"app_kwargs": {"middleware": [Middleware(RequestGuard, is_local=is_loopback(host))]}}


def is_loopback(host: str) -> bool:
    """Whether a name or an address means this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(authority: str) -> str:
    """The host of ``host:port``; empty if it is neither."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser sends a request for a page of another origin."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    if origin is None:
        return False
    try:
        sender = urlsplit(origin).netloc
    except ValueError:
        return True
    # A page cannot make a browser send the second without asking first, which is refused.
    return sender not in (headers.get("host"), headers.get("x-forwarded-host"))
