"""Visitors, and the jobs that they may see.

A visitor is identified by their login where there is one, else by a cookie that the first page sets, else (API clients
without cookies) by the session of their client. A job has two keys for others: one lets its holder look at the job, the
other also stop, resume and delete it. Neither stands in the address of a result.
"""

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from pipelines.jobs.job import Job
from pipelines.storage.atomic import write_bytes
from pipelines.storage.names import quoted, shortened

COOKIE = "longtake_visitor"
_COOKIE_DAYS = 180
_KEY_DIGITS = 24
_OWNERS = "visitors"


@dataclass(frozen=True)
class Visitor:
    """The sender of a request. `name` is a hash that reveals nothing; limits count by `counted_as`."""

    name: str
    counted_as: str
    lasts: bool = True
    """Whether they are known again when they load the page anew; not those without login and cookie."""
    said: str = "somebody"
    """The user's name or the address, as the server's log has them."""

    @classmethod
    def of(cls, request: gr.Request, *, behind_proxy: bool = False) -> "Visitor":
        """The sender of `request`. `behind_proxy`: the address is in our proxy's header, since all come through it."""
        headers = _headers(request)
        user = request.username or ""
        host = getattr(request.client, "host", "") or ""
        if behind_proxy:
            # The last entry is the proxy's; earlier ones are the visitor's claim.
            host = str(headers.get("x-forwarded-for", host)).split(",")[-1].strip()
        host = _network(host)
        cookie = _cookie(str(headers.get("cookie", "")))
        identity = (
            f"user {user}" if user else f"cookie {cookie}" if cookie else f"session {request.session_hash}"
        )
        # Limits count by address: a cookie is easily deleted.
        return cls(
            _hash(identity),
            _hash(f"user {user}" if user else f"host {host}"),
            lasts=bool(user or cookie),
            said=f"user {quoted(user)}" if user else shortened(host) or "somebody",
        )


def _network(host: str) -> str:
    """The address of whoever counts as one: of IPv6, a subscriber has all 2**64 of a network."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))


def _headers(request: gr.Request) -> dict[str, Any]:
    return dict(request.headers) if request.request else dict(request.kwargs.get("headers", {}))


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:32]


Right = Literal["", "view", "edit"]
"""What somebody may do with a job: nothing, look at it, or also stop, resume and delete it."""


class Keys:
    """The keys of jobs, made from the job's id and a secret in the jobs' folder, which survives restarts.

    Each is made for one use, and none can be computed from another.
    """

    def __init__(self, jobs_dir: Path) -> None:
        path = jobs_dir / "secret"
        if not path.exists():
            write_bytes(path, secrets.token_bytes(32))
            path.chmod(0o600)
        self._secret = path.read_bytes()

    def edit(self, job: Job) -> str:
        """The key that lets its holder act on `job`, hex digits."""
        return self._made("", job)

    def view(self, job: Job) -> str:
        """The key that lets its holder look at `job`."""
        return self._made("view ", job)

    def files(self, job: Job) -> str:
        """The name of the folder from which the results of `job` are served; opens nothing else."""
        return self._made("files ", job)

    def inputs(self, job: Job) -> str:
        """The name of the folder from which the inputs of `job` are given back to its owner; opens nothing else."""
        return self._made("inputs ", job)

    def right(self, job: Job, key: object) -> Right:
        """What the holder of `key`, which may be any value of a request, may do; compared in constant time."""
        given = key.encode(errors="replace") if isinstance(key, str) else b""
        fits: dict[Right, bool] = {
            "edit": hmac.compare_digest(self.edit(job).encode(), given),
            "view": hmac.compare_digest(self.view(job).encode(), given),
        }
        return next((right for right, fit in fits.items() if fit), "")

    def _made(self, use: str, job: Job) -> str:
        # An id has no spaces, so that no id makes the text of another use.
        return hmac.new(self._secret, f"{use}{job.id}".encode(), hashlib.sha256).hexdigest()[:_KEY_DIGITS]


def owners(job: Job) -> frozenset[str]:
    """The names of the visitors who submitted `job`: equal requests of two visitors are one job."""
    try:
        return frozenset((job.folder / _OWNERS).read_text().split())
    except FileNotFoundError:
        return frozenset()


def add_owner(job: Job, visitor: Visitor) -> None:
    """Make `visitor` an owner of `job`, who may see it from now on."""
    if visitor.name not in owners(job):
        with (job.folder / _OWNERS).open("a") as file:
            file.write(visitor.name + "\n")


def drop_owner(job: Job, visitor: Visitor) -> frozenset[str]:
    """Remove `visitor` from the owners of `job`; returns the others."""
    left = owners(job) - {visitor.name}
    write_bytes(job.folder / _OWNERS, "".join(f"{name}\n" for name in sorted(left)).encode())
    return left


class GiveCookie:
    """ASGI middleware that sets our cookie for visitors who load a page without it. Keeps no state.

    `framed`: the page is shown inside one of another site, as a Space is; browsers keep only cookies of a kind there
    that would also be sent from other sites, so nobody else gets it.
    """

    def __init__(self, app: Any, framed: bool = False) -> None:
        self._app = app
        self._framed = framed

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, and add the cookie to the response of a page where it is missing."""
        is_page = scope["type"] == "http" and scope["method"] == "GET" and scope["path"].endswith("/")
        if not is_page or COOKIE.encode() in dict(scope["headers"]).get(b"cookie", b""):
            await self._app(scope, receive, send)
            return

        async def send_with_cookie(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"set-cookie", self._new_cookie(scope))]
            await send(message)

        await self._app(scope, receive, send_with_cookie)

    def _new_cookie(self, scope: Any) -> bytes:
        age = _COOKIE_DAYS * 24 * 3600
        forwarded = dict(scope["headers"]).get(b"x-forwarded-proto", b"")
        secure = scope.get("scheme") == "https" or forwarded.startswith(b"https")
        kind = "; SameSite=None; Secure; Partitioned" if secure and self._framed else "; SameSite=Lax"
        end = "; Secure" if secure and not self._framed else ""
        return f"{COOKIE}={secrets.token_urlsafe(24)}; Path=/; Max-Age={age}; HttpOnly{kind}{end}".encode()
