"""Read from a request what several parts of the gate need."""

import ipaddress
from collections.abc import Mapping

from starlette.types import Scope

_MOST_NAME = 80
"""Characters that are kept of an address that is none, such as a proxy's word for a socket."""


def values(scope: Scope, name: bytes) -> list[str]:
    """All values of a header, in order."""
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


def first(scope: Scope, name: bytes) -> str:
    """The first entry of a header that lists several, or an empty text."""
    found = values(scope, name)
    return found[0].split(",")[0].strip() if found else ""


def path(scope: Scope) -> str:
    """The path below the one under which the app is served."""
    whole, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return whole[len(root) :] if root and whole.startswith(root + "/") else whole


def is_tls(scope: Scope) -> bool:
    """Whether the visitor's browser speaks https, by the connection or by what a proxy reports."""
    return scope.get("scheme") == "https" or first(scope, b"x-forwarded-proto").lower() == "https"


def sender(scope: Mapping[str, object], forwarded: str = "") -> str:
    """The address that a request comes from; `forwarded` is the header of a proxy of ours, whose last entry counts.

    IPv6 addresses count by their network (/64), of which one visitor has all.
    """
    client = scope.get("client")
    host = str(client[0]) if isinstance(client, (tuple, list)) and client else ""
    host = forwarded.split(",")[-1].strip() or host
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host[:_MOST_NAME]
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
