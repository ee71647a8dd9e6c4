"""Answer only to the server's own names.

A page of another site can have its name point to this machine (DNS rebinding); its requests are then of its own origin,
and only the name in them tells that they are not meant for us.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.storage.names import quoted, shortened
from ui.gate import headers
from ui.gate.names import Names, parsed_host
from ui.gate.refusal import refuse
from ui.i18n.refusals import Refusal


class OnlyKnownHosts:
    """ASGI middleware that answers 421 where the Host of a request, or what a proxy reports, is not of `names`.

    `/healthz` is open under any name. Of WebSockets there are none.
    """

    def __init__(self, app: ASGIApp, names: Names) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http" and scope["path"] != "/healthz" and (why := self._stranger(scope)):
            await refuse(scope, receive, send, 421, why)
            return
        await self._app(scope, receive, send)

    def _stranger(self, scope: Scope) -> Refusal | None:
        """Why a request is not meant for this server; None where it is."""
        if not scope["path"].startswith("/"):
            return Refusal("host.path")
        hosts = headers.values(scope, b"host")
        if len(hosts) != 1:
            return Refusal("host.count", count=str(len(hosts)))
        reported = headers.first(scope, b"x-forwarded-host")
        if why := self._unknown(hosts[0]):
            return why
        return self._unknown(reported, reported_by_proxy=True) if reported else None

    def _unknown(self, text: str, *, reported_by_proxy: bool = False) -> Refusal | None:
        host = parsed_host(text)
        if host is None:
            return Refusal("host.no_name", text=quoted(text))
        if self._names.knows(host.name) or (reported_by_proxy and self._names.proxied):
            return None
        return Refusal("host.unknown", name=shortened(host.name))
