"""Serving the page: routes for machines, a public link, and a shutdown that loses nothing."""

import asyncio
import base64
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gradio as gr
import httpx
import psutil
from gradio import networking, tunneling
from gradio.exceptions import ChecksumMismatchError, ShareCertificateWriteError
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from memory.units import GIB
from pipelines.errors import LongtakeError
from pipelines.scheduler.queue import JobQueue
from ui import theme
from ui.front.pages import Front
from ui.gate import (
    BoundedBodies,
    Names,
    OnlyBehindGate,
    OnlyFiles,
    OnlyKnownHosts,
    OnlyLoggedIn,
    OnlyOwnOrigins,
    in_front,
    origin_of_flag,
)
from ui.gate.mount import Layer
from ui.i18n.refusals import Refusal
from ui.limits.incoming import CountUploads
from ui.limits.room import Room
from ui.page import I18N
from ui.server import system_info
from ui.server.answers import EXCEPTION_HANDLERS, Answered, AnsweringBlocks
from ui.server.metrics import CONTENT_TYPE
from ui.server.passwords import Passwords
from ui.server.policy import Policy
from ui.server.visitors import GiveCookie

QUEUE_SECONDS = 4.5
"""Time for the current frame to be finished and its worker to exit."""
PAGE_SECONDS = 2.5
"""Time for requests that are being answered."""
OTHERS_SECONDS = 0.5
LAST_SECONDS = 9.0
"""The process exits after this in any case: service managers often send SIGKILL ten seconds after SIGTERM."""
_GZIP_LEVEL = 6
"""zlib's own choice: the page has 80 KB, 1.4 % more than at level 9, and takes 6 ms instead of 9."""
_NOT_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/octet-stream")
"""Media, archives and streams of events, and files whose type is not known, which are large and seldom text."""


class NoTunnel(LongtakeError):
    """There is no public link to the page."""

    code = "no_tunnel"


def launch(
    page: gr.Blocks,
    policy: Policy,
    users: Passwords | None,
    address: Mapping[str, Any],
    names: Names,
    *,
    is_stopping: Callable[[], bool],
    metrics: Callable[[], str],
    room: Room,
) -> str:
    """Serve `page` at `address` (Gradio's names) from now on; returns its URL.

    Raises OSError: the port is taken; BadInput: one of the policy's origins is none.
    """
    framed = "SPACE_ID" in os.environ
    added = additions(is_stopping=is_stopping, metrics=metrics, passwords=users, framed=framed)
    added["routes"] += [*Front(page).routes(), *(page.routes if isinstance(page, AnsweringBlocks) else [])]
    added["middleware"] += [
        Middleware(OnlyBehindGate),
        Middleware(CountUploads, room=room, behind_proxy=policy.behind_proxy),
    ]
    added["lifespan"] = in_front(*gate(policy, names, has_logins=users is not None, framed=framed))
    _, url, _ = page.launch(
        **address,
        # Gradio awaits a coroutine function too, though its annotation does not say so.
        auth=users.accepts if users else None,  # type: ignore[arg-type]
        app_kwargs=added,
        max_file_size=int(policy.max_file_gb * GIB),
        share=False,
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        # Else Gradio asks its own address first, and gives up where others ask for much at the same moment.
        _frontend=False,
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=["api", "settings"],
        theme=theme.theme(),
        css_paths=theme.CSS_PATHS,
        i18n=I18N,
    )
    return url


# -- routes for machines ------------------------------------------------------------------------------------


def additions(
    *,
    is_stopping: Callable[[], bool],
    metrics: Callable[[], str],
    passwords: Passwords | None,
    framed: bool = False,
) -> dict[str, Any]:
    """The `app_kwargs` of Gradio's `launch`: two routes, and middleware for all routes.

    `/healthz` is open to all. `/metrics` asks for a password where users have one, by HTTP Basic, which Prometheus
    can send; also from this machine, since behind a proxy every request comes from it. Routes given here come before
    Gradio's own and take precedence.
    """
    return {
        "routes": _routes(is_stopping, metrics, passwords),
        "exception_handlers": EXCEPTION_HANDLERS,
        "middleware": [
            Middleware(Answered),
            Middleware(GiveCookie, framed=framed),
            Middleware(RefuseWhileStopping, is_stopping=is_stopping),
        ],
    }


def gate(policy: Policy, names: Names, *, has_logins: bool, framed: bool = False) -> list[Layer]:
    """What a request passes before Gradio sees it, in order. Raises BadInput."""
    origins = [origin_of_flag(origin) for origin in policy.allowed_origins]
    layers: list[Layer] = [
        partial(GZipMiddleware, compresslevel=_GZIP_LEVEL, exclude_content_types=_NOT_COMPRESSED),
        partial(OnlyKnownHosts, names=names),
        partial(OnlyOwnOrigins, names=names, allowed=origins, framed=framed),
        BoundedBodies,
    ]
    if has_logins:
        layers.append(partial(OnlyLoggedIn, behind_proxy=policy.behind_proxy))
    return [*layers, OnlyFiles]


class RefuseWhileStopping:
    """ASGI middleware that refuses POST requests while the server stops; open streams go on."""

    def __init__(self, app: ASGIApp, is_stopping: Callable[[], bool]) -> None:
        self._app = app
        self._is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 503."""
        if scope["type"] == "http" and scope["method"] == "POST" and self._is_stopping():
            why = Refusal("server.stopping").to(Headers(scope=scope))
            await PlainTextResponse(why, 503, {"Retry-After": "30"})(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _routes(
    is_stopping: Callable[[], bool], metrics: Callable[[], str], passwords: Passwords | None
) -> list[Route]:
    version = system_info.version()

    async def healthz(_: Request) -> Response:
        stopping = is_stopping()
        answer = {"status": "stopping" if stopping else "ok", "version": version}
        return JSONResponse(answer, 503 if stopping else 200, {"Cache-Control": "no-store"})

    async def metrics_text(request: Request) -> Response:
        if passwords and not await _is_authorised(request, passwords):
            return Response(
                status_code=401, headers={"WWW-Authenticate": 'Basic realm="Longtake", charset="UTF-8"'}
            )
        text = await asyncio.to_thread(metrics)
        return PlainTextResponse(text, media_type=CONTENT_TYPE)

    return [Route("/healthz", healthz), Route("/metrics", metrics_text)]


async def _is_authorised(request: Request, passwords: Passwords) -> bool:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return False
    return scheme.lower() == "basic" and bool(colon) and await passwords.accepts(user, password)


# -- a public link -------------------------------------------------------------------------------------------


def open_tunnel(page: gr.Blocks) -> str:
    """Open a tunnel to a page that is being served; returns its public address. May take half a minute.

    Not `launch(share=True)`, which serves to everyone a page that loads its scripts from another host, keeps the
    local address waiting meanwhile, and prints eight lines where there is no network. Raises NoTunnel.
    """
    try:
        return networking.setup_tunnel(page.server_name, page.server_port, page.share_token, None, None)
    except ChecksumMismatchError as error:
        why = f"the tunnel program {tunneling.BINARY_PATH} is not the published one"
        raise NoTunnel(f"No public link: {why}.", "Delete it and start again.") from error
    except httpx.HTTPError as error:
        why = f"the tunnel program could not be fetched ({error})"
        hint = f"Put {tunneling.BINARY_URL} at {tunneling.BINARY_PATH}, executable."
        raise NoTunnel(f"No public link: {why}.", hint) from error
    except RuntimeError as error:
        why = f"Gradio's tunnel service does not answer ({error.__cause__ or error})"
        raise NoTunnel(f"No public link: {why}.", "Is there a network?") from error
    except (OSError, ValueError, ShareCertificateWriteError) as error:
        raise NoTunnel(
            f"No public link: {str(error).splitlines()[0]}", "The page's own address works."
        ) from error


# -- shutdown ---------------------------------------------------------------------------------------------


def stop(queue: JobQueue, page: gr.Blocks, *others: Callable[[], None]) -> None:
    """Close the queue, the page, the others, then kill all child processes; exits after LAST_SECONDS at most.

    The current frame is finished where it takes less than QUEUE_SECONDS; jobs that run or wait can be resumed. The
    page answers meanwhile, so that `/healthz` can report that the server is stopping.
    """
    last = threading.Timer(LAST_SECONDS, os._exit, (0,))
    last.daemon = True
    last.start()
    _within(QUEUE_SECONDS, queue.close)
    _within(PAGE_SECONDS, partial(page.close, verbose=False))
    _within(OTHERS_SECONDS, lambda: [close() for close in others])
    children = psutil.Process().children(recursive=True)
    for child in children:
        child.kill()
    psutil.wait_procs(children, timeout=1)


def _within(seconds: float, action: Callable[[], object]) -> None:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(seconds)
