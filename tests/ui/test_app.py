"""`python app.py` as a process: light, quiet, closed to those who may not come in, alone on its machine."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import psutil
import pytest
from gradio_client import Client, handle_file

import app
from memory.units import GIB, MIB
from ui.server.policy import Policy

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 180

StartApp = Callable[..., Any]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_pages_process_is_light_and_has_no_torch_even_after_a_job(
    start_app: StartApp, clip: Path
) -> None:
    served = start_app()
    assert psutil.Process(served.process.pid).memory_info().rss <= 250 * MIB
    out = Client(served.url, verbose=False).predict(file=handle_file(clip), api_name="/score")
    assert out[0]["state"] == "done"
    loaded = Path(f"/proc/{served.process.pid}/maps").read_text()
    assert "/numpy/" in loaded, "what is loaded can be seen"
    assert "/torch/" not in loaded and "/cv2/" not in loaded and "/av/" not in loaded


def test_a_real_job_ends_with_its_files_within_the_servers_limit(start_app: StartApp, clip: Path) -> None:
    served = start_app("--ram-limit-gb=2")
    status, files = Client(served.url, verbose=False).predict(file=handle_file(clip), api_name="/score")
    assert status["state"] == "done" and status["done"] == status["total"] == 40
    assert status["host_limit_bytes"] <= 2 * GIB
    assert {"report.json", "scores.csv", "report.png"} <= {Path(path).name for path in files}


# -- flags ---------------------------------------------------------------------------------------------------


def test_a_flag_that_does_not_exist_is_one_line_and_exit_2() -> None:
    run = subprocess.run(
        [sys.executable, "app.py", "--colour=red"], cwd=ROOT, capture_output=True, timeout=PATIENCE_SECONDS
    )
    assert run.returncode == 2
    assert run.stderr.count(b"\n") == 1 and b"--colour" in run.stderr


def test_a_port_that_is_taken_is_exit_2_and_says_which(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = subprocess.run(
            [sys.executable, "app.py", f"--server-port={port}", f"--jobs-dir={tmp_path}"],
            cwd=ROOT,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )
    assert run.returncode == 2
    assert str(port).encode() in run.stderr and b"Traceback" not in run.stderr


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Policy, dict[str, Any]]]:
    """What flags and environment come to, without a server: the policy and the address."""
    seen: list[tuple[Policy, dict[str, Any]]] = []

    def keep(
        _: Path, policy: Policy, __: object, address: dict[str, Any], *, share: bool, **more: Any
    ) -> None:
        seen.append((policy, {**address, "share": share}))

    def launch(*flags: str, **env: str) -> tuple[Policy, dict[str, Any]]:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        assert app.main([f"--jobs-dir={tmp_path}", *flags]) == 0
        return seen.pop()

    monkeypatch.setattr(app, "_serve", keep)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_ROOT_PATH"):
        monkeypatch.delenv(name, raising=False)
    return launch


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "::1", "[::1]", "127.1.2.3"])
def test_whoever_serves_themselves_has_few_rules(launched: Any, name: str) -> None:
    policy, address = launched(f"--server-name={name}")
    assert policy == Policy() and policy.local and address["server_name"] == name


@pytest.mark.parametrize(
    "flags",
    [
        ["--server-name=0.0.0.0"],
        ["--server-name=192.168.0.7"],
        ["--server-name=example.org"],
        ["--share"],
        ["--auth=ann:x"],
    ],
)
def test_where_others_come_in_the_rules_are_those_for_others(launched: Any, flags: list[str]) -> None:
    assert launched(*flags)[0] == Policy.public()


def test_behind_a_proxy_visitors_are_told_apart_by_what_it_says(launched: Any) -> None:
    assert launched("--root-path=/longtake")[0] == Policy.public().changed(behind_proxy=True)


def test_a_space_has_its_rules_and_its_address(launched: Any) -> None:
    policy, address = launched("--share", SPACE_ID="someone/longtake")
    assert policy == Policy.space()
    assert address == {"server_name": "0.0.0.0", "server_port": 7860, "root_path": None, "share": False}
    _, address = launched(SPACE_ID="someone/longtake", GRADIO_SERVER_PORT="8123")
    assert address["server_port"] == 8123


def test_gradios_environment_is_honoured_and_a_flag_wins(launched: Any) -> None:
    env = {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "8123", "GRADIO_ROOT_PATH": "/lt"}
    policy, address = launched(**env)
    assert not policy.local
    assert (address["server_name"], address["server_port"], address["root_path"]) == ("0.0.0.0", 8123, "/lt")
    _, address = launched("--server-name=127.0.0.1", "--server-port=9000", "--root-path=/x", **env)
    assert (address["server_name"], address["server_port"], address["root_path"]) == ("127.0.0.1", 9000, "/x")


def test_every_rule_has_a_flag_that_wins(launched: Any) -> None:
    policy, _ = launched(
        "--server-name=0.0.0.0",
        *("--max-file-size=500mb", "--on-disconnect=pause", "--jobs-max-gb=7.5", "--ram-limit-gb=2"),
        *("--max-waiting=5", "--max-jobs-per-visitor=1", "--max-megapixels=0.5", "--max-minutes=2"),
        *("--visitor-max-gb=1.5", "--inspect-at-once=3", "--inspect-max-gb=0.5"),
    )
    assert policy == Policy(
        local=False,
        max_file_gb=500 / 1024,
        on_disconnect="pause",
        jobs_max_gb=7.5,
        ram_limit_gb=2,
        max_waiting=5,
        max_jobs_per_visitor=1,
        max_megapixels=0.5,
        max_minutes=2,
        visitor_max_gb=1.5,
        inspect_at_once=3,
        inspect_max_gb=0.5,
    )
    policy, _ = launched("--server-name=0.0.0.0", "--jobs-max-gb=3")
    assert policy.visitor_max_gb == 1.5, "half of little disk"


def test_every_flags_help_says_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    app.main(["--help"])
    text = re.sub(r"[│\s]+", " ", capsys.readouterr().out)
    said = re.split(r" (?=--[a-z]+-?[a-z-]* [A-Z])", text[text.index("Parameters") :])
    flags = {entry.split()[0]: entry.lower() for entry in said[1:]}
    assert len(flags) >= 15
    assert not [flag for flag, entry in flags.items() if "default:" not in entry]
    assert "4gb for others" in flags["--max-file-size"] and "list of processes" in flags["--auth"]


@pytest.mark.parametrize(
    ("flag", "word"),
    [
        ("--max-minutes=-1", "--max-minutes"),
        ("--max-waiting=0", "--max-waiting"),
        ("--max-file-size=0mb", "--max-file-size"),
        ("--max-file-size=4", "500mb"),
        ("--max-file-size=lots", "500mb"),
        ("--on-disconnect=stop", "--on-disconnect"),
        ("--server-port=http", "--server-port"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], flag: str, word: str
) -> None:
    assert app.main([flag]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and word in told


# -- who may come in -----------------------------------------------------------------------------------------


def test_only_those_with_a_password_come_in(start_app: StartApp, tmp_path: Path) -> None:
    file = tmp_path / "users"
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
    file.write_text(f"ann:{hashed}\n")
    served = start_app(f"--auth-file={file}", "--auth=bob:swordfish")
    url = served.url

    for path in (
        "config",
        "gradio_api/info",
        "gradio_api/openapi.json",
        f"gradio_api/file={file}",
        "metrics",
    ):
        assert httpx.get(url + path).status_code == 401, path
    asked: dict[str, Any] = {"json": {"data": []}}
    for path in ("gradio_api/call/score", "gradio_api/call/v2/score", "gradio_api/run/score"):
        assert httpx.post(url + path, **asked).status_code == 401, path
    assert httpx.post(f"{url}gradio_api/upload", files={"files": ("x.mp4", b"x")}).status_code == 401
    health = httpx.get(f"{url}healthz")
    assert health.status_code == 200 and set(health.json()) == {"status", "version"}

    for pair in (("ann", "wrong"), ("nobody", "open sesame"), ("ann", "x" * 100)):
        with pytest.raises(ValueError, match="Could not login"):
            Client(url, auth=pair, verbose=False)
    for pair in (("ann", "open sesame"), ("bob", "swordfish")):
        assert Client(url, auth=pair, verbose=False).view_api(return_format="dict", print_info=False)
    assert httpx.get(f"{url}metrics", auth=("ann", "open sesame")).status_code == 200

    file.write_text(f"cleo:{hashed}\nann:{hashed}\n")
    assert Client(url, auth=("cleo", "open sesame"), verbose=False)


# -- what it gives away --------------------------------------------------------------------------------------


def test_no_file_of_the_machine_is_read_for_a_visitor(trapped_app: Any) -> None:
    url = trapped_app.url
    data = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(f"{url}gradio_api/call/v2/score", json={"file": data}).json()
    stream = httpx.get(f"{url}gradio_api/call/score/{call['event_id']}", timeout=PATIENCE_SECONDS).text
    assert "event: error" in stream and "root:" not in stream
    for path in ("/etc/passwd", "../../etc/passwd", "app.py", str(ROOT / "app.py"), str(ROOT / "jobs")):
        assert httpx.get(f"{url}gradio_api/file={path}").status_code in (403, 404), path


def test_metrics_are_there_for_prometheus(trapped_app: Any) -> None:
    answer = httpx.get(f"{trapped_app.url}metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    assert 'longtake_jobs{state="running"} 0.0' in answer.text


def test_nothing_asks_for_another_machine(trap: Any, trapped_app: Any, clip: Path) -> None:
    assert trap.log.read_text() == "", "while it started"
    code = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.7', 9))"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **trap.env}, timeout=PATIENCE_SECONDS)
    assert "192.0.2.7" in trap.log.read_text(), "the trap works"
    trap.log.write_text("")

    url = trapped_app.url
    for path in re.findall(r'(?:src|href)="\./([^"]+)"', httpx.get(url).text):
        assert httpx.get(url + path).status_code == 200, path
    assert httpx.get(f"{url}config").status_code == 200
    out = Client(url, verbose=False).predict(file=handle_file(clip), api_name="/score")
    assert out[0]["state"] == "done"
    assert trap.log.read_text() == ""


def test_without_a_network_there_is_no_link_and_one_line_says_why(
    start_app: StartApp, until: Callable[[Callable[[], Any]], None]
) -> None:
    # A proxy that nobody listens at: the same on a machine that has a network.
    env = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    served = start_app("--share", env={**env, "GRADIO_SHARE_SERVER_ADDRESS": ""})
    until(lambda: "link" in served.log.read_text())
    (line,) = [line for line in served.log.read_text().splitlines() if "link" in line]
    assert line.startswith("No public link: ")
    page = httpx.get(served.url).text
    assert httpx.get(f"{served.url}config").status_code == 200
    assert "amazonaws" not in page, "scripts come from here, not from another host"


# -- what it holds -------------------------------------------------------------------------------------------


def test_uploads_go_to_disk_and_not_to_memory(trapped_app: Any) -> None:
    process = psutil.Process(trapped_app.process.pid)
    upload(trapped_app.url, MIB, lambda: None)  # what is loaded for the first one stays
    before, peaks = process.memory_info().rss, [0]
    threads = [
        threading.Thread(
            target=upload, args=(trapped_app.url, 20 * MIB, lambda: peaks.append(process.memory_info().rss))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(peaks) > 8 * 20
    assert max(peaks) - before < 60 * MIB


def upload(url: str, size: int, look: Callable[[], None]) -> None:
    """Upload `size` bytes in parts of a MiB, with a look after each."""

    def body() -> Iterator[bytes]:
        yield b'--cut\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
        for _ in range(size // MIB):
            yield os.urandom(MIB)
            look()
        yield b"\r\n--cut--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=cut"}
    answer = httpx.post(f"{url}gradio_api/upload", content=body(), headers=headers, timeout=PATIENCE_SECONDS)
    (path,) = json.loads(answer.text)
    assert Path(path).stat().st_size == size


def test_how_long_a_worker_may_be_silent_can_be_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[float | None] = []
    monkeypatch.setattr(app, "_serve", lambda *given, **more: seen.append(more["stuck_seconds"]))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for flags in ([], ["--stuck-after=30"]):
        assert app.main([f"--jobs-dir={tmp_path}", *flags]) == 0
    assert seen == [None, 30]
    assert app.main(["--stuck-after=0"]) == 2
