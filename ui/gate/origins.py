"""Let only the server's own pages act for a visitor, and read what it answers.

A browser sends a visitor's cookies, or reaches a server that only the visitor can reach, also for pages of other sites.
It says from which page a request comes: by `Origin`, and by `Sec-Fetch-Site`, neither of which a page can forge.
Programs send neither and are not concerned.
"""

from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.storage.names import shortened
from ui.gate import headers
from ui.gate.names import Names, Origin, is_default_port, parsed_host, parsed_origin
from ui.gate.refusal import refuse
from ui.i18n.refusals import Refusal

FROM_ALLOWED_SITE = "longtake.from_allowed_site"
"""Key of a scope: whether the request comes from a page of another site that may ask."""

_METHODS = "GET, POST, HEAD, OPTIONS"
_PREFLIGHT_SECONDS = 600
_PRIVATE = ("/gradio_api/", "/logout")
"""Paths whose GET begins or ends something, or is for the visitor alone."""
_FILES = "/gradio_api/file="


class OnlyOwnOrigins:
    """ASGI middleware that answers 403 to other sites' requests, and lets no page but the `allowed` ones read answers.

    Links from anywhere work: opening a page, or a result in a tab of its own, changes nothing. `framed`: any site may
    show the page inside its own, as with a Space; else only the `allowed`, since a visitor could be made to click.
    """

    def __init__(
        self, app: ASGIApp, names: Names, allowed: Iterable[Origin] = (), *, framed: bool = False
    ) -> None:
        self._app = app
        self._names = names
        self._allowed = frozenset(allowed)
        frames = " ".join(
            ["'self'", *sorted(f"{each.scheme}://{each.name}:{each.port}" for each in self._allowed)]
        )
        self._frames = "" if framed else f"frame-ancestors {frames}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, refuse it, or answer a preflight."""
        if scope["type"] != "http" or scope["path"] == "/healthz":
            await self._app(scope, receive, send)
            return
        origins = headers.values(scope, b"origin")
        origin = origins[0] if len(origins) == 1 else ""
        allowed = parsed_origin(origin or _referring(scope, origins)) in self._allowed
        if not allowed and not self._is_own(scope, origins) and not _is_harmless(scope):
            await refuse(scope, receive, send, 403, _why(origins))
            return
        scope[FROM_ALLOWED_SITE] = allowed
        if (
            origin
            and scope["method"] == "OPTIONS"
            and headers.values(scope, b"access-control-request-method")
        ):
            await _answer_preflight(scope, receive, send, origin if allowed else "")
            return
        await self._app(scope, receive, self._with_cors(send, origin if allowed else ""))

    def _with_cors(self, send: Send, allowed: str) -> Send:
        """`send` with the headers of CORS for `allowed` alone, whatever stands behind us has set."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                pairs = message.get("headers", ())
                kept = [pair for pair in pairs if not pair[0].lower().startswith(b"access-control-")]
                message = {**message, "headers": kept}
                answer = MutableHeaders(raw=kept)
                if allowed:
                    _allow(answer, allowed)
                if self._frames and answer.get("content-type", "").startswith("text/html"):
                    answer["Content-Security-Policy"] = self._frames
            await send(message)

        return sending

    def _is_own(self, scope: Scope, origins: list[str]) -> bool:
        """Whether the request comes from a page of this server, from its visitor, or from a program."""
        site = headers.values(scope, b"sec-fetch-site")
        if any(each.lower() not in ("same-origin", "none") for each in site):
            return False
        if not origins:
            return True
        found = parsed_origin(origins[0]) if len(origins) == 1 else None
        return found is not None and self._is_here(scope, found, confirmed="same-origin" in site)

    def _is_here(self, scope: Scope, origin: Origin, *, confirmed: bool) -> bool:
        """Whether `origin` is the address under which the browser sees this server.

        A proxy may hide https and a port from us; the browser's `confirmed` then decides.
        """
        host = parsed_host(headers.values(scope, b"host")[0])
        reported = parsed_host(headers.first(scope, b"x-forwarded-host"))
        if reported and (self._names.proxied or self._names.is_given(reported.name)):
            host = reported
        if host is None or origin.name != host.name:
            return False
        if headers.is_tls(scope) and origin.scheme != "https":
            return False
        if host.port is None:
            return confirmed or is_default_port(origin)
        served = scope.get("server")
        speaks_http = not headers.is_tls(scope) and served and served[1] == host.port
        return origin.port == host.port and not (speaks_http and origin.scheme == "https")


def _is_harmless(scope: Scope) -> bool:
    """Whether a request of another site only shows something, in a window or as part of a page."""
    if scope["method"] not in ("GET", "HEAD"):
        return False
    path = headers.path(scope)
    if path.startswith(_FILES):
        return headers.first(scope, b"sec-fetch-dest") == "document"
    return not path.startswith(_PRIVATE)


def _referring(scope: Scope, origins: list[str]) -> str:
    """The origin of the page that shows a picture or a film of ours: browsers send no Origin with those."""
    if origins or scope["method"] not in ("GET", "HEAD"):
        return ""
    return "/".join(headers.first(scope, b"referer").split("/")[:3])


def _why(origins: list[str]) -> Refusal:
    found = parsed_origin(origins[0]) if len(origins) == 1 else None
    if found is None:
        return Refusal("origin.other")
    return Refusal("origin.named", site=shortened(origins[0]))


async def _answer_preflight(scope: Scope, receive: Receive, send: Send, allowed: str) -> None:
    answer = Response(status_code=204)
    if allowed:
        _allow(answer.headers, allowed)
        answer.headers["Access-Control-Allow-Methods"] = _METHODS
        answer.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_SECONDS)
        if asked := headers.values(scope, b"access-control-request-headers"):
            answer.headers["Access-Control-Allow-Headers"] = asked[0]
        if headers.values(scope, b"access-control-request-private-network"):
            answer.headers["Access-Control-Allow-Private-Network"] = "true"
    await answer(scope, receive, send)


def _allow(answer: MutableHeaders, origin: str) -> None:
    answer["Access-Control-Allow-Origin"] = origin
    answer["Access-Control-Allow-Credentials"] = "true"
    answer.add_vary_header("Origin")
