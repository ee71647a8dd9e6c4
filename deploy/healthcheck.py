"""Check from inside a container that the page answers: exit status 0 if `/healthz` says ok, else 1 and a reason.

Needs only the standard library. The port is GRADIO_SERVER_PORT, by default 7860, as for `app.py`.
"""

import http.client
import os
import sys
import urllib.error
import urllib.request

_SECONDS = 5.0
"""The longest wait for an answer: half of what the Dockerfile's HEALTHCHECK allows, so that a reason is printed."""


def check(port: str) -> str | None:
    """Return why the page on this port of the loopback address is unhealthy, or None."""
    # No proxy stands between a container and itself, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/healthz", timeout=_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"/healthz answered {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"/healthz did not answer: {error}"


def main() -> int:
    """Print the reason, if any, and return the exit status."""
    reason = check(os.environ.get("GRADIO_SERVER_PORT") or "7860")
    if reason:
        sys.stderr.write(reason + "\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
