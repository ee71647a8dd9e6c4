"""Who asks, and which jobs are theirs to see.

A visitor is known by their login where there is one, else by a cookie that the first page gives them, else (API clients
without cookies) by the session of their client. Whoever has a job's key sees the job too: that is its link.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.jobs.job import Job
from pipelines.storage.atomic import write_bytes

COOKIE = "longtake_visitor"
_COOKIE_DAYS = 180
_KEY_DIGITS = 24
_OWNERS = "visitors"


@dataclass(frozen=True)
class Visitor:
    """Somebody who asks. `name` is a hash that says nothing outside; limits count by `counted_as`."""

    name: str
    counted_as: str

    @classmethod
    def of(cls, request: gr.Request, *, behind_proxy: bool = False) -> "Visitor":
        """Who sent `request`. `behind_proxy`: a proxy of ours says from where, for everybody comes from it."""
        headers = _headers(request)
        user = request.username or ""
        host = getattr(request.client, "host", "") or ""
        if behind_proxy:
            # The last entry is the proxy's own; those before it are what the visitor says.
            host = str(headers.get("x-forwarded-for", host)).split(",")[-1].strip()
        cookie = _cookie(str(headers.get("cookie", "")))
        known_by = (
            f"user {user}" if user else f"cookie {cookie}" if cookie else f"session {request.session_hash}"
        )
        # A cookie is thrown away easily, an address is not.
        return cls(_hash(known_by), _hash(f"user {user}" if user else f"host {host}"))


def _headers(request: gr.Request) -> dict[str, Any]:
    return dict(request.headers) if request.request else dict(request.kwargs.get("headers", {}))


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Keys:
    """The keys of jobs: made from the job's id and a secret of this server that survives it."""

    def __init__(self, jobs_dir: Path) -> None:
        path = jobs_dir / "secret"
        if not path.exists():
            write_bytes(path, secrets.token_bytes(32))
            path.chmod(0o600)
        self._secret = path.read_bytes()

    def of(self, job: Job) -> str:
        """The key of `job`, hex digits."""
        return hmac.new(self._secret, job.id.encode(), hashlib.sha256).hexdigest()[:_KEY_DIGITS]

    def fits(self, job: Job, key: str) -> bool:
        """Whether `key` is that of `job`; takes as long whatever it is."""
        return hmac.compare_digest(self.of(job).encode(), key.encode())


def owners(job: Job) -> frozenset[str]:
    """The names of those who asked for `job`: the same question of two visitors is one job."""
    try:
        return frozenset((job.folder / _OWNERS).read_text().split())
    except FileNotFoundError:
        return frozenset()


def add_owner(job: Job, visitor: Visitor) -> None:
    """Let `visitor` see `job` from now on."""
    if visitor.name not in owners(job):
        with (job.folder / _OWNERS).open("a") as file:
            file.write(visitor.name + "\n")


def drop_owner(job: Job, visitor: Visitor) -> frozenset[str]:
    """Take `job` out of `visitor`'s sight; returns who is left."""
    left = owners(job) - {visitor.name}
    write_bytes(job.folder / _OWNERS, "".join(f"{name}\n" for name in sorted(left)).encode())
    return left


class GiveCookie:
    """ASGI middleware: a visitor who loads a page without our cookie is given one. Holds nothing."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, adding the cookie to pages that are sent to those who have none."""
        wants = scope["type"] == "http" and scope["method"] == "GET" and scope["path"].endswith("/")
        if not wants or COOKIE.encode() in dict(scope["headers"]).get(b"cookie", b""):
            await self._app(scope, receive, send)
            return

        async def send_with_cookie(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"set-cookie", _new_cookie(scope).encode())]
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def _new_cookie(scope: Any) -> str:
    age = _COOKIE_DAYS * 24 * 3600
    kept = f"{COOKIE}={secrets.token_urlsafe(24)}; Path=/; Max-Age={age}; HttpOnly"
    # A page inside another site's frame (a Space) keeps cookies of this kind alone, and those need https.
    forwarded = dict(scope["headers"]).get(b"x-forwarded-proto", b"")
    secure = scope.get("scheme") == "https" or forwarded.startswith(b"https")
    return kept + ("; SameSite=None; Secure; Partitioned" if secure else "; SameSite=Lax")
