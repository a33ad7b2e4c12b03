"""Refuses requests under a foreign host name or from other sites."""

from __future__ import annotations

import ipaddress
import logging
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAFE = ("GET", "HEAD", "OPTIONS")
_FOREIGN_HOST = (
    "This page accepts connections from its own machine only: open it as http://localhost with "
    "its port, or start it with --host 0.0.0.0 to serve other machines.\n"
)
_FOREIGN_ORIGIN = "Requests from other sites are refused: open the page itself.\n"
FAILED = "An internal error occurred; see the server log."
_UNREAD = "This request is malformed: compare it with the description under Use via API.\n"
_MOST_LOGGED = 300

_log = logging.getLogger(__name__)


class RequestGuard:
    """Refuses requests that a foreign site makes a visitor's browser send.

    Against cross-site requests it does as ``http.CrossOriginProtection`` of Go's standard library:
    ``Sec-Fetch-Site`` decides where a browser sends it, else ``Origin`` must be the page's own
    host; programs send neither. Against DNS rebinding, where a foreign name points to this
    machine and browsers call all of it one origin, ``Host`` must be a name of this machine.

    What Gradio fails on while it reads a request is answered with one sentence too (6.31 logs a
    trace, for example where a program names a parameter that an endpoint does not have).
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
            return await self._answer(scope, receive, send)
        return await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on; one that Gradio cannot read is answered with one sentence."""
        has_begun = False

        async def tell(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, tell)
        except Exception as error:
            if has_begun:
                raise
            words = " ".join(str(error).split())[:_MOST_LOGGED]
            # A full disk, for example, is no fault of the request.
            is_own = isinstance(error, OSError | MemoryError)
            tell_log, verdict = (_log.error, "failed") if is_own else (_log.warning, "refused")
            tell_log("%s %s: %s: %s", scope["path"][:80], verdict, type(error).__name__, words)
            _log.debug("Traceback:", exc_info=True)
            answer = PlainTextResponse(FAILED, 500) if is_own else PlainTextResponse(_UNREAD, 400)
            await answer(scope, receive, send)


def request_guard(host: str) -> Middleware:
    """Returns what guards requests.

    Args:
        host: Where the page is served; on a loopback address it is for this machine only.
    """
    return Middleware(RequestGuard, is_local=is_loopback(host))


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
    forwarded = headers.get("x-forwarded-host", "").split(",")
    own = {headers.get("host", ""), *(name.strip() for name in forwarded)} - {""}
    return sender not in own
