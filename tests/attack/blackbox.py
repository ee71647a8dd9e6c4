"""What the attacks share: a server as a stranger meets it, a raw client, and a runner that says what was right.

Nothing of the project is imported: only its address, its command line and its files are known. Each module here has
functions `attack_…(out: Path) -> None` whose docstrings state the right outcome; they raise AssertionError where it
is another. By hand: `OUT=DIR python -m tests.attack.NAME`, with `PY` for another Python and `APP` for another
checkout; the logs of the servers stay in `DIR`.
"""

import atexit
import inspect
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Any

import httpx
import psutil

APP = Path(os.environ.get("APP", Path(__file__).parents[2])).absolute()
PY = os.environ.get("PY", sys.executable)
PATIENCE_SECONDS = 180

Attack = Callable[[Path], None]


@dataclass
class Server:
    """`python app.py` as a process that answers at `url`; its words are in `log`, its jobs in `jobs`."""

    process: subprocess.Popen[bytes]
    url: str
    port: int
    log: Path
    jobs: Path

    def rss_bytes(self) -> int:
        """Memory that the server's own process holds."""
        return psutil.Process(self.process.pid).memory_info().rss

    def stop(self) -> None:
        """End it and all its children."""
        family = [*psutil.Process(self.process.pid).children(recursive=True)]
        self.process.kill()
        self.process.wait()
        for each in family:
            if each.is_running():
                each.kill()


_running: dict[tuple[Path, tuple[str, ...]], Server] = {}


def served(out: Path, *flags: str, env: dict[str, str] | None = None) -> Server:
    """The server that runs with these flags below `out`, started at the first call; all are stopped at the end."""
    known = (out, flags)
    if known not in _running:
        _running[known] = start(out, *flags, env=env)
    return _running[known]


def start(out: Path, *flags: str, env: dict[str, str] | None = None) -> Server:
    """Start a server of one's own, with its jobs and its log in a new folder below `out`, and wait until it answers."""
    port = _quiet_port()
    folder = out / f"server-{port}"
    folder.mkdir(parents=True)
    command = [PY, "app.py", f"--server-port={port}", f"--jobs-dir={folder / 'jobs'}", *flags]
    with (folder / "log.txt").open("wb") as words:
        process = subprocess.Popen(command, cwd=APP, stderr=words, env={**os.environ, **(env or {})})
    server = Server(process, f"http://127.0.0.1:{port}", port, folder / "log.txt", folder / "jobs")
    until(lambda: process.poll() is not None or _answers(server.url))
    assert process.poll() is None, server.log.read_text()
    return server


def _quiet_port() -> int:
    """A free port that no system gives to whoever asks for any: nobody takes it before its server starts."""
    while True:
        port = SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def stop_all() -> None:
    """Stop every server that `served` started."""
    while _running:
        _running.popitem()[1].stop()


atexit.register(stop_all)


def until(condition: Callable[[], Any]) -> None:
    """Wait until `condition` holds; AssertionError after PATIENCE_SECONDS."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@dataclass
class Raw:
    """A visitor who speaks HTTP themselves: no check of a client library stands in between."""

    server: Server
    headers: dict[str, str] = field(default_factory=dict)
    prefix: str = ""

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            base_url=self.server.url, headers=self.headers, timeout=PATIENCE_SECONDS, trust_env=False
        )
        self.session = uuid.uuid4().hex[:12]

    def login(self, user: str, password: str) -> int:
        """Log in; returns the status."""
        return self.http.post(
            f"{self.prefix}/login", data={"username": user, "password": password}
        ).status_code

    def upload(self, name: str, data: bytes) -> httpx.Response:
        """Send a file as the page does."""
        return self.http.post(f"{self.prefix}/gradio_api/upload", files={"files": (name, data)})

    def uploaded(self, name: str, data: bytes) -> dict[str, Any]:
        """Send a file that must be taken; returns what stands for it in a call."""
        answer = self.upload(name, data)
        assert answer.status_code == 200, (answer.status_code, answer.text[:300])
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}, "orig_name": name}

    def parameters(self, endpoint: str) -> list[dict[str, Any]]:
        """The parameters of an endpoint, as the API describes them."""
        if not hasattr(self, "_info"):
            self._info = self.http.get(f"{self.prefix}/gradio_api/info").json()["named_endpoints"]
        return list(self._info[f"/{endpoint}"]["parameters"])

    def call(self, endpoint: str, **values: Any) -> list[tuple[str, Any]]:
        """Call an endpoint with its defaults and these values; returns all events, or `("http", …)`."""
        named = self.parameters(endpoint)
        assert values.keys() <= {each["parameter_name"] for each in named}, values
        data = [values.get(each["parameter_name"], each.get("parameter_default")) for each in named]
        return self.post(endpoint, {"data": data, "session_hash": self.session})

    def post(self, endpoint: str, body: Any) -> list[tuple[str, Any]]:
        """Call an endpoint with a body of one's own (JSON, or bytes as they are)."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = f"{self.prefix}/gradio_api/call/{endpoint}"
        answer = self.http.post(path, content=content, headers={"content-type": "application/json"})
        if answer.status_code != 200:
            return [("http", (answer.status_code, answer.text))]
        told: list[tuple[str, Any]] = []
        with self.http.stream("GET", f"{path}/{answer.json()['event_id']}") as stream:
            event = ""
            for line in stream.iter_lines():
                if line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:") and event != "heartbeat":
                    told.append((event, json.loads(line[5:])))
        return told

    def answer(self, endpoint: str, **values: Any) -> tuple[str, Any]:
        """The last event of a call: `("complete", data)`, `("error", data)` or `("http", (status, text))`."""
        return self.call(endpoint, **values)[-1]


def clip(path: Path, *, seconds: float = 1.0, size: str = "160x120", source: str = "testsrc2") -> Path:
    """A drawn clip at 25 frames a second; made once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = f"{source}=size={size}:rate=25:duration={seconds}"
        encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-y", str(path)]
        find = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"
        ffmpeg = subprocess.run([PY, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
        subprocess.run(
            [ffmpeg, "-v", "error", "-f", "lavfi", "-i", drawn, *encode], check=True, timeout=PATIENCE_SECONDS
        )
    return path


def start_program(*command: str) -> str:
    """What a program prints; it must end well."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, cwd=APP)
    assert done.returncode == 0, done.stderr
    return done.stdout


def attacks(names: dict[str, Any]) -> dict[str, Attack]:
    """The attacks of a module, by name."""
    return {name: each for name, each in names.items() if name.startswith("attack_") and callable(each)}


def main(names: dict[str, Any]) -> int:
    """Run the attacks of a module and say of each what is right and whether it was; returns the exit status."""
    out = Path(os.environ.get("OUT") or tempfile.mkdtemp(prefix="attack-")).absolute()
    wrong = 0
    for name, attack in attacks(names).items():
        try:
            attack(out / name)
        except Exception:  # noqa: BLE001  said, and counted
            wrong += 1
            print(f"WRONG {name}\n{traceback.format_exc()}")
        else:
            print(f"right {name}: {' '.join((inspect.getdoc(attack) or '').split())}")
    stop_all()
    print(f"{len(attacks(names)) - wrong} of {len(attacks(names))} right; logs in {out}")
    return int(wrong > 0)
