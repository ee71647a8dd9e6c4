"""A gate before a page that tells what it got."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from ui import launch
from ui.gate import Names, in_front
from ui.gate.mount import Layer
from ui.server.policy import Policy


def page(layers: list[Layer], **options: Any) -> TestClient:
    async def echo(request: Request) -> Response:
        if request.url.path == "/page":
            return HTMLResponse("<p>page</p>")
        told = {"path": request.url.path, "bytes": len(await request.body()), "cookies": request.cookies}
        # As Gradio does.
        return JSONResponse(told, headers={"Access-Control-Allow-Origin": request.headers.get("origin", "")})

    methods = ["GET", "POST", "OPTIONS", "PUT", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", echo, methods=methods)], lifespan=in_front(*layers))
    options = {"base_url": "http://127.0.0.1:7860", **options}
    return TestClient(app, **options).__enter__()


@pytest.fixture
def gated() -> Callable[..., TestClient]:
    """Makes a client of a page behind the whole gate, without logins; takes flags as they are on a command line."""

    def make(
        *,
        root_path: str = "",
        server_name: str = "127.0.0.1",
        environ: dict[str, str] | None = None,
        **policy: Any,
    ) -> TestClient:
        address = {"server_name": server_name, "root_path": root_path or None}
        names = Names.of(address, policy.get("allowed_hosts", ()), environ or {})
        framed = "SPACE_ID" in (environ or {})
        return page(launch.gate(Policy(**policy), names, has_logins=False, framed=framed))

    return make
