"""The names of the server, as browsers write them."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import httpx

from pipelines.errors import BadInput

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5})?)?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    """A name or address, in one spelling, and the port where it was given."""

    name: str
    port: int | None


class Origin(NamedTuple):
    """Scheme, name and port of a web page's address."""

    scheme: str
    name: str
    port: int


def parsed_host(text: str) -> Place | None:
    """A Host header in one spelling (lower case, no dot at the end, no zeros in IPv6); None where it is none."""
    found = _HOST.fullmatch(text)
    if not found:
        return None
    name = found[1].lower().removesuffix(".")
    if name.startswith("["):
        try:
            name = f"[{ipaddress.IPv6Address(name[1:-1])}]"
        except ValueError:
            return None
    return Place(name, int(found[2]) if found[2] else None) if name else None


def parsed_origin(text: str) -> Origin | None:
    """An Origin header or a flag's value in one spelling; None where it is none, as `null` is."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    host = parsed_host(rest)
    if not separator or scheme not in _DEFAULT_PORTS or host is None:
        return None
    return Origin(scheme, host.name, _DEFAULT_PORTS[scheme] if host.port is None else host.port)


def is_default_port(origin: Origin) -> bool:
    """Whether browsers leave the port of `origin` out."""
    return origin.port == _DEFAULT_PORTS[origin.scheme]


def origin_of_flag(text: str) -> Origin:
    """The value of --allowed-origin. Raises BadInput."""
    try:
        url = httpx.URL(text.strip())
        bare = (
            url.copy_with(path="/") if url.path in ("", "/") and not url.query and not url.userinfo else None
        )
        host = bare.raw_host.decode() if bare else ""
        port = "" if url.port is None else f":{url.port}"
        found = parsed_origin(f"{url.scheme}://{f'[{host}]' if ':' in host else host}{port}")
    except (httpx.InvalidURL, UnicodeError):
        found = None
    if found is None:
        raise BadInput(
            f"--allowed-origin: {text!r} is no origin.", "Write it as https://site.example, without a path."
        )
    return found


def name_of_flag(text: str) -> str:
    """The value of --allowed-host: a name, of any script, with or without a port. Raises BadInput."""
    try:
        url = httpx.URL(f"http://{text.strip()}")
        host = url.raw_host.decode()
        bare = url.path in ("", "/") and not url.query and not url.userinfo
        found = parsed_host(f"[{host}]" if ":" in host else host) if bare else None
    except (httpx.InvalidURL, UnicodeError):
        found = None
    if found is None:
        raise BadInput(
            f"--allowed-host: {text!r} is no name.", "Write it as longtake.example, one name a flag."
        )
    return found.name


class Names:
    """The names that the server answers to. Addresses and localhost are none: rebinding needs a name.

    `proxied`: a proxy stands before the server, and nobody said under which name, so the one that it reports counts.
    """

    def __init__(self, names: Iterable[str] = (), *, proxied: bool = False) -> None:
        self._names = frozenset(names)
        self.proxied = proxied

    @classmethod
    def of(cls, address: Mapping[str, Any], allowed: Iterable[str], environ: Mapping[str, str]) -> "Names":
        """The names that flags and the environment give. Raises BadInput where one is none."""
        names = {name_of_flag(name) for name in allowed}
        root = str(address.get("root_path") or "")
        if root.startswith(("http://", "https://")):
            names.add(name_of_flag(httpx.URL(root).netloc.decode()))
        if "SPACE_ID" in environ:
            names.update(_of_space(environ))
        proxied = bool(root) and not names
        if (server := parsed_host(str(address["server_name"]))) is not None:
            names.add(server.name)
        return cls(filter(_is_name, names), proxied=proxied)

    def add(self, url: str) -> None:
        """Answer to the name in `url` from now on. Raises BadInput where there is none."""
        self._names |= {name_of_flag(httpx.URL(url).netloc.decode())}

    def knows(self, name: str) -> bool:
        """Whether the server answers to `name`, which is in the spelling of `parsed_host`."""
        return name in self._names or not _is_name(name)

    def is_given(self, name: str) -> bool:
        """Whether somebody said that the server has this name."""
        return name in self._names


def _of_space(environ: Mapping[str, str]) -> set[str]:
    """The names of a Hugging Face Space: those it is told, and the one that follows from its id."""
    told = environ.get("SPACE_HOST", "").split(",")
    made = re.sub(r"[^a-z0-9]+", "-", environ["SPACE_ID"].lower()).strip("-") + ".hf.space"
    return {host.name for text in (*told, made) if (host := parsed_host(text.strip())) is not None}


def _is_name(name: str) -> bool:
    """Whether `name` is one that somebody could have point here: no address, and not this machine's own."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name != "localhost"
    return False
