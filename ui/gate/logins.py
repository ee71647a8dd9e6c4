"""Keep those out who have not logged in, and their sessions short and out of the reach of other sites.

Gradio checks passwords and gives tokens in cookies that never end and that other sites' pages may send; and some of its
routes ask nobody. Here its cookies are rewritten, end, and open everything but the page that asks for a password.
"""

import time
from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.gate import headers
from ui.gate.origins import FROM_ALLOWED_SITE
from ui.gate.refusal import refuse
from ui.i18n.refusals import Refusal
from ui.server.guesses import ASKING

SESSION_SECONDS = 7 * 24 * 3600
"""A login ends after a week, so that a forgotten tab on somebody else's machine does."""
_COOKIES = "access-token-"
_PLAIN = "access-token-unsecure-"
"""Gradio gives two cookies with one token: this one also without https."""

_OPEN = frozenset(
    (
        *("/", "/login", "/logout", "/healthz", "/metrics", "/favicon.ico", "/robots.txt", "/theme.css"),
        *("/manifest.json", "/pwa_icon", "/gradio_api/startup-events", "/gradio_api/theme.css"),
    )
)
_OPEN_FOLDERS = ("/assets/", "/static/", "/svelte/", "/pwa_icon/")
"""What the page that asks for a password is made of; `/metrics` asks for one itself."""


class OnlyLoggedIn:
    """ASGI middleware that answers 401 to whoever has not logged in, and gives logins an end.

    Holds the tokens of those who are logged in, at most MOST_SESSIONS. `behind_proxy`: the address of a sender is in a
    header of the proxy. `clock` is for tests.
    """

    MOST_SESSIONS = 10_000

    def __init__(
        self, app: ASGIApp, *, behind_proxy: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._behind_proxy = behind_proxy
        self._clock = clock
        self._ends: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tokens = self._tokens(scope)
        if not tokens and not _is_open(headers.path(scope)):
            answer = JSONResponse({"detail": {"error": "Not authenticated", "auth_message": None}}, 401)
            await refuse(scope, receive, send, 401, Refusal("login.nobody"), response=answer)
            return
        scope = _with_only(scope, tokens)
        forwarded = ", ".join(headers.values(scope, b"x-forwarded-for")) if self._behind_proxy else ""
        asking = ASKING.set(headers.sender(scope, forwarded))
        try:
            await self._app(scope, receive, self._with_ends(scope, send, tokens))
        finally:
            ASKING.reset(asking)

    def _tokens(self, scope: Scope) -> set[str]:
        """The tokens of a request that still open the page."""
        now = self._clock()
        given = {value for name, value in _cookies(scope) if name.startswith(_COOKIES)}
        return {token for token in given if self._ends.get(token, now) > now}

    def _with_ends(self, scope: Scope, send: Send, tokens: set[str]) -> Send:
        """`send` with each cookie of a login rewritten."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                rewritten = [
                    pair
                    if pair[0].lower() != b"set-cookie"
                    else (pair[0], self._rewritten(scope, pair[1], tokens))
                    for pair in message.get("headers", ())
                ]
                message = {**message, "headers": [pair for pair in rewritten if pair[1]]}
            await send(message)

        return sending

    def _rewritten(self, scope: Scope, cookie: bytes, tokens: set[str]) -> bytes:
        """A cookie as it is sent; empty where it is not needed."""
        name, _, rest = cookie.decode("latin-1").partition("=")
        if not name.startswith(_COOKIES):
            return cookie
        token = rest.partition(";")[0].strip('" ')
        tls = headers.is_tls(scope) or _is_seen_at_https(scope)
        if not token:
            for each in tokens:
                self._ends.pop(each, None)
            return f"{name}=; {_attributes(scope, 0, tls=tls)}".encode()
        self._begin(token)
        if name.startswith(_PLAIN) == tls:
            return b""
        return f"{name}={token}; {_attributes(scope, SESSION_SECONDS, tls=tls)}".encode()

    def _begin(self, token: str) -> None:
        now = self._clock()
        if token not in self._ends:
            self._ends = {known: end for known, end in self._ends.items() if end > now}
            while len(self._ends) >= self.MOST_SESSIONS:
                del self._ends[next(iter(self._ends))]
            self._ends[token] = now + SESSION_SECONDS


def _is_seen_at_https(scope: Scope) -> bool:
    """Whether the page of ours that asks is at https, behind a front that does not say so."""
    return headers.first(scope, b"origin").startswith("https://") and not scope.get(FROM_ALLOWED_SITE)


def _attributes(scope: Scope, seconds: int, *, tls: bool) -> str:
    """The attributes of a cookie: kept from scripts and from other sites, except one that may ask and logs in there."""
    if tls and scope.get(FROM_ALLOWED_SITE):
        return f"Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=None; Partitioned"
    return f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{'; Secure' if tls else ''}"


def _is_open(path: str) -> bool:
    return path in _OPEN or path.rstrip("/") in _OPEN or path.startswith(_OPEN_FOLDERS)


def _cookies(scope: Scope) -> list[tuple[str, str]]:
    """Names and values of all cookies, in order; a name may come twice."""
    pairs = [
        pair.strip().partition("=")
        for header in headers.values(scope, b"cookie")
        for pair in header.split(";")
    ]
    return [(name, value.strip('"')) for name, _, value in pairs if name]


def _with_only(scope: Scope, tokens: set[str]) -> Scope:
    """`scope` with no cookies of logins but those of `tokens`: Gradio itself would accept one that has ended."""
    cookies = _cookies(scope)
    kept = [(name, value) for name, value in cookies if not name.startswith(_COOKIES) or value in tokens]
    if len(kept) == len(cookies):
        return scope
    others = [pair for pair in scope["headers"] if pair[0] != b"cookie"]
    text = "; ".join(f"{name}={value}" for name, value in kept)
    return {**scope, "headers": [*others, (b"cookie", text.encode("latin-1"))] if kept else others}
