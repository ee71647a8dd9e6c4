"""The healthcheck of the image: 0 where the page is well, 1 and a reason where it is not."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.deploy.dockerfile import ROOT


def healthcheck(port: object) -> tuple[int, str]:
    """Exit status and reason, with a proxy in the environment that leads nowhere."""
    env = {**os.environ, "GRADIO_SERVER_PORT": str(port), "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    command = [sys.executable, "-I", ROOT / "deploy" / "healthcheck.py"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stderr


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that answers every request so; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        log_message: Callable[..., None] = lambda *_: None

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("status", "code", "reason"), [(200, 0, ""), (503, 1, "503"), (404, 1, "404")])
def test_only_a_page_that_is_well_is_healthy(status: int, code: int, reason: str) -> None:
    with answering(status) as port:
        found, said = healthcheck(port)
    assert found == code and reason in said and bool(said) is (code == 1)


def test_where_nobody_answers_it_says_so() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        found, said = healthcheck(nobody.getsockname()[1])
    assert found == 1 and "did not answer" in said and "Traceback" not in said


def test_a_port_that_is_none_is_a_reason_too() -> None:
    found, said = healthcheck("seven")
    assert found == 1 and "did not answer" in said and "Traceback" not in said
