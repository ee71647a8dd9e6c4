"""Put middleware in front of Gradio's own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from ui.gate.refusal import refuse
from ui.i18n.refusals import Refusal

Layer = Callable[[ASGIApp], ASGIApp]
_PASSED = "longtake.passed_gate"


def in_front(*layers: Layer) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """A lifespan that puts `layers` before everything else of an app, the first outermost.

    Middleware that is given to Gradio comes behind Gradio's own, which answers preflights and lets every origin in.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        stack = app.middleware_stack
        assert stack is not None, "Starlette builds it before the lifespan begins"
        inner: ASGIApp = _Marker(stack)
        for layer in reversed(layers):
            inner = layer(inner)
        app.middleware_stack = inner
        yield

    return lifespan


class _Marker:
    """Marks requests that have passed the gate."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a marked request on."""
        scope[_PASSED] = True
        await self._app(scope, receive, send)


class OnlyBehindGate:
    """ASGI middleware that refuses what no gate has seen: a server that ignores lifespans is shut, not open."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 503."""
        if scope["type"] == "http" and _PASSED not in scope:
            await refuse(scope, receive, send, 503, Refusal("server.not_started"))
            return
        await self._app(scope, receive, send)
