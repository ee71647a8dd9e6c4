"""Answer at `/` and with the description of the API, both rendered once per address and kept compressed.

Gradio renders both anew for everybody, which costs a busy server more than all else that a visit asks for.
"""

import asyncio
import gzip
import mimetypes
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import gradio as gr
from gradio.data_classes import BlocksConfigDict
from gradio.route_utils import get_root_url, update_root_in_config
from gradio.routes import ORJSONResponse, templates
from gradio.utils import safe_deepcopy
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ui import theme
from ui.front import bundle
from ui.front.early import EARLY
from ui.front.login_page import login_page
from ui.front.mended import mended
from ui.front.trimmed import trimmed
from ui.i18n.texts import static

_INFO = "/gradio_api/info"
_MOST_KEPT = 256
"""Answers that are kept: an address and a user have one of 50 KB each, and a visit takes 80 files of Gradio's."""
_ASSETS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
_LEVEL = 9
"""zlib's best: each answer is compressed once."""
_FOR_EVER = "public, max-age=31536000, immutable"
"""Of files that have their hash in their name."""
_API = re.compile(r"<script>window\.gradio_api_info = .*?;</script>", re.DOTALL)
_PRELOAD = f'<link rel="preload" href=".{_INFO}" as="fetch" crossorigin="anonymous">'
"""Gradio's script asks for the description before it shows anything, so it is asked for at once."""

_SHELL_STYLE = """
#lt-shell { position: absolute; inset: 0 0 auto; box-sizing: border-box; width: min(100%, 1240px); margin: 0 auto;
  padding: 16px 32px;
  font-family: system-ui, sans-serif; color: var(--col); }
#lt-shell b { font-size: 1.6rem; margin-inline-end: 10px; }
body:has(.lt-head) #lt-shell { display: none; }
@media (prefers-color-scheme: dark) { #lt-shell { color: var(--col-dark); } }
"""

Make = Callable[[], bytes]


class Front:
    """The pages at `/` of `blocks`, with its scripts and styles as files of their own."""

    def __init__(self, blocks: gr.Blocks) -> None:
        self._blocks = blocks
        self._scripts = bundle.scripts(blocks)
        self._assets = {path.name: path for path in _ASSETS.iterdir() if path.is_file()}
        self._kept: OrderedDict[tuple[str, ...], bytes] = OrderedDict()

    def routes(self) -> list[Route]:
        """The routes, which come before Gradio's own."""
        return [
            Route("/", self._page),
            Route(_INFO, self._info),
            Route(f"{_INFO}/", self._info),
            Route("/front/{name}", self._file),
            Route("/assets/{name}", self._asset),
        ]

    @cached_property
    def _styles(self) -> tuple[str, str]:
        # Not before it is asked for: Gradio makes the theme when it begins to serve.
        return bundle.styles(self._blocks, self._assets)

    async def _page(self, request: Request) -> Response:
        """The page, or for those who have to log in the page that asks for a password."""
        user = _user(request)
        if request.app.auth is not None and user is None:
            return HTMLResponse(login_page(), headers={"Cache-Control": "no-store"})
        root = self._root(request, "/")
        return await self._answer(
            request, ("page", root, user or ""), lambda: self._render(request, root, user), "text/html"
        )

    async def _info(self, request: Request) -> Response:
        """The description of the API."""
        if request.app.auth is not None and _user(request) is None:
            raise HTTPException(401, "Not authenticated")
        gradios = _gradios_info(request.app.routes)
        key = ("info", self._root(request, _INFO), str("all_endpoints" in request.query_params))
        return await self._answer(request, key, lambda: _json(gradios(request, page="")), "application/json")

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        text = dict([self._scripts, self._styles]).get(name)
        if text is None:
            raise HTTPException(404, "Not Found")
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return await self._answer(request, ("file", name), text.encode, kind, {"Cache-Control": _FOR_EVER})

    async def _asset(self, request: Request) -> Response:
        """A file of Gradio's, which would compress it anew for everybody; its name has a hash."""
        path = self._assets.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404, "Not Found")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        kind = "text/javascript" if path.suffix == ".js" else kind
        return await self._answer(
            request,
            ("asset", path.name),
            lambda: mended(path.name, path.read_bytes()),
            kind,
            {"Cache-Control": _FOR_EVER},
        )

    async def _answer(
        self,
        request: Request,
        key: tuple[str, ...],
        make: Make,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer that is kept under `key`, made by `make` in a thread where there is none."""
        packed = self._kept.get(key)
        if packed is None:
            packed = await asyncio.to_thread(lambda: gzip.compress(make(), _LEVEL, mtime=0))
            self._kept[key] = packed
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        sent = {**(headers or {"Cache-Control": "no-cache"}), "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(gzip.decompress(packed), headers=sent, media_type=media_type)
        return Response(packed, headers={**sent, "Content-Encoding": "gzip"}, media_type=media_type)

    def _root(self, request: Request, path: str) -> str:
        """The address under which the page is seen, as Gradio finds it."""
        below = request.app.root_path or request.scope.get("root_path") or self._blocks.custom_mount_path
        return get_root_url(request=request, route_path=path, root_path=below)

    def _render(self, request: Request, root: str, user: str | None) -> bytes:
        config: BlocksConfigDict = safe_deepcopy(self._blocks.config)
        small = trimmed(config) | {"username": user, "head": None}
        small = update_root_in_config(small, root)  # type: ignore[arg-type, assignment]
        page = templates.get_template("frontend/index.html").render(
            request=request, base_url="./", config=small, gradio_api_info={}
        )
        early = "".join(
            f'<link rel="modulepreload" href="./assets/{name}">' for name in EARLY if name in self._assets
        )
        # Gradio's scripts wait for this one.
        script = f'<script defer fetchpriority="high" src="./front/{self._scripts[0]}"></script>'
        style = f'<link rel="stylesheet" href="./front/{self._styles[0]}">'
        drawn = style + bundle.styles_links(self._blocks, self._assets, small["root"])
        head = f"<title>{self._blocks.title}</title>{theme.HEAD}{script}{early}{_PRELOAD}"
        page = _API.sub(lambda _: head, page, count=1)
        # After Gradio's own first style sheet, which takes all margins and paddings away.
        page = page.replace("</head>", f"{drawn}</head>", 1)
        return page.replace("<gradio-app", f"{_shell()}<gradio-app", 1).encode()


def _shell() -> str:
    """The head of the page as it looks before Gradio's scripts have come; gone once they have drawn it."""
    tagline = static("longtake_tagline")
    return f'<div id="lt-shell"><style>{_SHELL_STYLE}</style><b>Longtake</b> {tagline}</div>'


def _user(request: Request) -> str | None:
    """The user who is logged in, as Gradio finds them."""
    app, cookies = request.app, request.cookies
    token = cookies.get(f"access-token-{app.cookie_id}") or cookies.get(
        f"access-token-unsecure-{app.cookie_id}"
    )
    user: str | None = app.tokens.get(token)
    return user


def _gradios_info(routes: Sequence[Any]) -> Callable[..., Any]:
    """Gradio's own function for the description, which stands in a router of its own."""
    routers = [each.original_router for each in routes if hasattr(each, "original_router")]
    found = [each.endpoint for router in routers for each in router.routes if each.path == _INFO]
    return cast(Callable[..., Any], found[0])


def _json(content: Any) -> bytes:
    return bytes(ORJSONResponse(content).body)
