"""Whether a Ray cluster may be connected to, decided without Ray: by the address, what is installed, and the token."""

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from pipelines.errors import BadInput

LOCAL = "local"
"""The address of a cluster of this machine that a run starts for itself."""
_HOST_AND_PORT = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})")
_LAST_PORT = 65535
_REACH_SECONDS = 5.0
"""How long the head may take to accept a connection; Ray itself would try for a minute."""
_STRANGER_SECONDS = 20.0
"""How long somebody without a token may take to be refused."""
_HEALTH_CHECK = "import sys; from ray.scripts.scripts import main; sys.exit(main())"
"""Ray's command line, wherever its script is."""


def check_access(address: str, environ: Mapping[str, str], *, insecure: bool) -> None:
    """Raise BadInput where the cluster at `address` cannot be used, or, unless `insecure`, not without risk.

    Whoever reaches a Ray cluster without a token runs programs on all of its machines.
    """
    port = _HOST_AND_PORT.fullmatch(address)
    if address != LOCAL and not (port and 0 < int(port[1]) <= _LAST_PORT):
        raise BadInput(
            f"--ray-address is {address or 'missing'}.",
            "Give HOST:PORT of the cluster's head, or local for a cluster of this machine alone.",
            "ray.unusable",
        )
    if find_spec("ray") is None:
        raise BadInput(
            "Ray is not installed.", "Install it with `pip install -r requirements-ray.txt`.", "ray.unusable"
        )
    if address == LOCAL or insecure:
        return
    if environ.get("RAY_AUTH_MODE") != "token":
        raise BadInput(
            "Whoever reaches a Ray cluster without tokens can run programs there: RAY_AUTH_MODE is not token.",
            "Start the cluster with RAY_AUTH_MODE=token and set it here, too, with the cluster's token in "
            "RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN; or accept the risk with --ray-insecure.",
            "ray.unusable",
        )
    if not token_source(environ):
        raise BadInput(
            "There is no token for the Ray cluster.",
            "Put the cluster's token into a file that only you can read, and name it in RAY_AUTH_TOKEN_PATH.",
            "ray.unusable",
        )


def token_source(environ: Mapping[str, str]) -> str:
    """Return where the token comes from, in the order in which Ray looks; empty where there is none."""
    if environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    path = Path(environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    return str(path) if path.is_file() else ""


def check_reach(address: str) -> None:
    """Raise BadInput where nobody answers at `address`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_SECONDS).close()
    except OSError as error:
        raise BadInput(
            f"The Ray cluster {address} cannot be reached: {error.strerror or error}.",
            "Check --ray-address, and whether the cluster runs.",
            "ray.unusable",
        ) from error


def lets_strangers_in(address: str, environ: Mapping[str, str]) -> bool:
    """Whether the cluster at `address` answers somebody who shows no token. Takes some seconds."""
    stranger = {name: value for name, value in environ.items() if not name.startswith("RAY_AUTH")}
    command = [sys.executable, "-c", _HEALTH_CHECK, "health-check", "--address", address]
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            command,
            env={**stranger, "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            timeout=_STRANGER_SECONDS,
        )
        return done.returncode == 0
    return False
