"""Downloads of weights from a server in the test: resumed, checked, complete or absent; failures are one sentence."""

import hashlib
import json
import re
import shutil
import socket
import struct
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from filelock import lock_descriptor
from huggingface_hub import close_session, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from pipelines.errors import BadInput, LongtakeError, NotEnoughDisk, WeightsBroken, WeightsMissing
from pipelines.weights import fetch as fetching
from pipelines.weights.catalog import PUBLISHED, File, Published
from pipelines.weights.download import RemoteFile, download
from pipelines.weights.fetch import fetch

DATA = bytes(range(256)) * 4096
SHA = hashlib.sha256(DATA).hexdigest()


@dataclass
class Shop:
    """A server of files. `cuts` and `resets` say after how many bytes the next answers end early."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, object] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    resumes: bool = True
    resets: list[int] = field(default_factory=list)
    tag: str = '"one"'
    tokens: list[str | None] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)


def handler_of(shop: Shop) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path in shop.answers:
                self.send(200, json.dumps(shop.answers[path]).encode(), {"Content-Type": "application/json"})
                return
            shop.ranges.append(self.headers.get("Range"))
            shop.tokens.append(self.headers.get("Authorization"))
            if shop.refusals:
                self.send(shop.refusals.pop(0), b"", {})
            elif path not in shop.files:
                self.send(404, b"", {"X-Error-Code": "RepoNotFound"})
            else:
                self.give(shop.files[path])

        def give(self, data: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            first = int(asked[1]) if asked and shop.resumes else 0
            headers = {"ETag": shop.tag}
            if first >= len(data):
                self.send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            elif first:
                rest = {**headers, "Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}
                self.send(206, data[first:], rest)
            else:
                self.send(200, data, headers)

        def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            cut = shop.cuts.pop(0) if shop.cuts and "ETag" in headers else len(body)
            if shop.resets and "ETag" in headers:
                cut = shop.resets.pop(0)
                # A socket that lingers for no time is reset, not closed.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.wfile.write(body[:cut])
            self.close_connection = True

    return Handler


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Those who leave early are expected."""


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A server with one file; its clients retry without a pause, in chunks of 64 KiB."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 2**16)
    close_session()  # the next one knows no proxy
    shop = Shop(files={"/w.pth": DATA})
    with Server(("127.0.0.1", 0), handler_of(shop)) as server:
        shop.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield shop
        server.shutdown()


@pytest.fixture
def remote(shop: Shop) -> RemoteFile:
    """The file of the shop, of which everything is known beforehand, as of files on the hub."""
    return RemoteFile("w.pth", f"{shop.url}/w.pth", len(DATA), SHA, version="one")


@pytest.fixture
def released(remote: RemoteFile) -> RemoteFile:
    """The file of the shop, of which nothing is known beforehand, as of files of a release."""
    return RemoteFile("w.pth", remote.url)


def silent(name: str, done: int, total: int | None) -> None:
    """Report nothing."""


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_arrives_whole_and_its_way_is_told(tmp_path: Path, remote: RemoteFile) -> None:
    told: list[tuple[str, int, int | None]] = []
    assert download(remote, tmp_path / "new" / "w.pth", lambda *how: told.append(how)) == ""
    assert (tmp_path / "new" / "w.pth").read_bytes() == DATA
    assert left(tmp_path / "new") == {"w.pth"}
    assert told[-1] == ("w.pth", len(DATA), len(DATA)) and len(told) > 2
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})


def test_a_broken_connection_is_resumed(tmp_path: Path, shop: Shop, remote: RemoteFile) -> None:
    shop.cuts = [300_000, 200_000]
    download(remote, tmp_path / "w.pth", silent)
    assert (tmp_path / "w.pth").read_bytes() == DATA
    assert shop.ranges == [None, f"bytes={4 * 2**16}-", f"bytes={7 * 2**16}-"]


def test_a_connection_that_is_reset_is_resumed(
    tmp_path: Path, shop: Shop, remote: RemoteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.resets = [300_000]
    download(remote, tmp_path / "w.pth", silent)
    assert (tmp_path / "w.pth").read_bytes() == DATA and len(shop.ranges) == 2


def test_a_busy_server_is_asked_again(tmp_path: Path, shop: Shop, released: RemoteFile) -> None:
    shop.refusals = [503, 500, 429]
    download(released, tmp_path / "w.pth", silent)
    assert (tmp_path / "w.pth").read_bytes() == DATA


def test_progress_gives_new_patience(tmp_path: Path, shop: Shop, remote: RemoteFile) -> None:
    shop.cuts = [70_000] * 12
    download(remote, tmp_path / "w.pth", silent)
    assert (tmp_path / "w.pth").read_bytes() == DATA and len(shop.ranges) == 13


class Gone(BaseException):
    """Ctrl-C."""


def interrupt(remote: RemoteFile, folder: Path) -> int:
    """Start the download and leave it in the middle; returns how many bytes are kept."""

    def leave(name: str, done: int, total: int | None) -> None:
        if done > 200_000:
            raise Gone

    with pytest.raises(Gone):
        download(remote, folder / "w.pth", leave)
    assert left(folder) == {"w.pth.part", "w.pth.part.tag"}
    return (folder / "w.pth.part").stat().st_size


@pytest.mark.parametrize("of_a_release", [False, True])
def test_an_interrupted_download_is_finished_by_the_next_one(
    tmp_path: Path, shop: Shop, remote: RemoteFile, released: RemoteFile, of_a_release: bool
) -> None:
    file = released if of_a_release else remote
    have = interrupt(file, tmp_path)
    download(file, tmp_path / "w.pth", silent)
    assert (tmp_path / "w.pth").read_bytes() == DATA and left(tmp_path) == {"w.pth"}
    assert have > 0 and shop.ranges[-1] == f"bytes={have}-"


@pytest.mark.parametrize(
    "how", ["no ranges", "another version", "longer than it is", "a part of unknown version"]
)
@pytest.mark.parametrize("of_a_release", [False, True])
def test_what_cannot_be_resumed_starts_again(
    tmp_path: Path, shop: Shop, remote: RemoteFile, released: RemoteFile, how: str, of_a_release: bool
) -> None:
    tag = '"one"' if of_a_release else "one"
    (tmp_path / "w.pth.part").write_bytes(b"x" * (10 if how != "longer than it is" else 2 * len(DATA)))
    if how != "a part of unknown version":
        (tmp_path / "w.pth.part.tag").write_text(tag if how != "another version" else "two")
    shop.resumes = how != "no ranges"
    download(released if of_a_release else remote, tmp_path / "w.pth", silent)
    assert (tmp_path / "w.pth").read_bytes() == DATA


def test_a_part_that_is_all_of_it_is_only_checked(tmp_path: Path, shop: Shop, remote: RemoteFile) -> None:
    (tmp_path / "w.pth.part").write_bytes(DATA)
    (tmp_path / "w.pth.part.tag").write_text("one")
    download(remote, tmp_path / "w.pth", silent)
    assert (tmp_path / "w.pth").read_bytes() == DATA and shop.ranges == []


def test_a_weak_tag_is_no_version(tmp_path: Path, shop: Shop, released: RemoteFile) -> None:
    shop.tag = 'W/"one"'
    (tmp_path / "w.pth.part").write_bytes(b"x" * 10)
    (tmp_path / "w.pth.part.tag").write_text(shop.tag)
    download(released, tmp_path / "w.pth", silent)
    assert (tmp_path / "w.pth").read_bytes() == DATA and shop.ranges == [None, None]


def test_a_wrong_hash_is_refused_and_nothing_is_left(tmp_path: Path, remote: RemoteFile) -> None:
    with pytest.raises(WeightsBroken, match=r"is not the published w\.pth: its sha256 is"):
        download(replace(remote, sha256="0" * 64), tmp_path / "w.pth", silent)
    assert left(tmp_path) == set()


def test_a_hash_that_is_only_known_of_copies_warns(tmp_path: Path, remote: RemoteFile) -> None:
    unsure = replace(remote, sha256="0" * 64, size_bytes=3, sure=False, version=None)
    assert f"sha256 {SHA[:12]}" in download(unsure, tmp_path / "w.pth", silent)
    assert (tmp_path / "w.pth").read_bytes() == DATA


def test_another_length_than_the_published_one_is_refused_before_it_is_fetched(
    tmp_path: Path, released: RemoteFile
) -> None:
    published = replace(released, size_bytes=7)
    with pytest.raises(WeightsBroken, match=r"has 1,048,576 bytes, the published w\.pth 7"):
        download(published, tmp_path / "w.pth", pytest.fail)
    assert left(tmp_path) == set()


@pytest.mark.parametrize("version", [None, "one"])
def test_a_missing_file_fails_at_once(
    tmp_path: Path, shop: Shop, remote: RemoteFile, version: str | None
) -> None:
    gone = replace(remote, url=f"{shop.url}/gone.pth", version=version)
    with pytest.raises(
        WeightsMissing, match=r"could not be fetched from .*: the server answers 404"
    ) as caught:
        download(gone, tmp_path / "w.pth", silent)
    assert str(tmp_path) in caught.value.hint and shop.ranges == [None] and "\n" not in str(caught.value)


def test_a_server_that_stays_busy_is_given_up(tmp_path: Path, shop: Shop, released: RemoteFile) -> None:
    shop.refusals = [503] * 50
    with pytest.raises(WeightsMissing, match="503"):
        download(released, tmp_path / "w.pth", silent)
    assert len(shop.ranges) == 4


def test_offline_is_a_sentence_with_the_file_its_address_and_the_folder(
    tmp_path: Path, remote: RemoteFile, offline: None
) -> None:
    with pytest.raises(WeightsMissing) as caught:
        download(remote, tmp_path / "w.pth", silent)
    assert "w.pth could not be fetched from http://127.0.0.1" in caught.value.message
    assert "Name or service not known" in caught.value.message
    assert "another machine" in caught.value.hint and str(tmp_path) in caught.value.hint
    assert left(tmp_path) == set()


@pytest.fixture
def offline(shop: Shop) -> Iterator[None]:
    """A machine without a network."""

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("[Errno -2] Name or service not known")

    set_client_factory(lambda: httpx2.Client(transport=httpx2.MockTransport(fail)))
    yield
    set_client_factory(default_client_factory)


def test_a_token_goes_to_the_hub_alone(
    tmp_path: Path, shop: Shop, remote: RemoteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    download(remote, tmp_path / "w.pth", silent)
    assert shop.tokens == [None]
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", shop.url)
    download(remote, tmp_path / "again" / "w.pth", silent)
    assert shop.tokens == [None, "Bearer hf_secret"]


def test_two_do_not_fetch_one_file_at_a_time(tmp_path: Path, remote: RemoteFile) -> None:
    with (tmp_path / "w.pth.part").open("ab") as held:
        assert lock_descriptor(held.fileno(), blocking=False)
        with pytest.raises(LongtakeError, match=r"Another process is fetching w\.pth"):
            download(remote, tmp_path / "w.pth", silent)


def test_a_disk_that_is_too_small_is_said_before(
    tmp_path: Path, remote: RemoteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(NotEnoughDisk, match=r"w\.pth needs"):
        download(remote, tmp_path / "w.pth", pytest.fail)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, remote: RemoteFile) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"w\.pth cannot be written to .*file"):
        download(remote, tmp_path / "file" / "w.pth", silent)


# -- models ----------------------------------------------------------------------------------------------------


@pytest.fixture
def release(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Published:
    """ProPainter, as if the shop had published it."""
    ours = replace(
        PUBLISHED["propainter"],
        address=f"{shop.url}/v0.1.0/",
        files=(File("raft-things.pth", 5, "0" * 64, sure=False), File("ProPainter.pth", sha256=SHA)),
    )
    shop.files = {f"/v0.1.0/{file.name}": DATA for file in ours.files}
    monkeypatch.setitem(PUBLISHED, "propainter", ours)
    return ours


def test_a_release_is_fetched_into_the_folder_where_it_is_found(
    tmp_path: Path, shop: Shop, release: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_CACHE", str(tmp_path))
    warned: list[str] = []
    found = fetch("propainter", None, silent, warned.append)
    assert found["ProPainter.pth"] == tmp_path / "weights" / "propainter" / "ProPainter.pth"
    assert len(warned) == 1 and "raft-things.pth" in warned[0]
    assert fetch("propainter", None, silent) == found and len(shop.ranges) == 4, "what is there is left alone"
    given = fetch("propainter", tmp_path / "given", silent)
    assert set(given.values()) == {tmp_path / "given" / file.name for file in release.files}


Hub = Callable[[str, dict[str, bytes]], None]


@pytest.fixture
def hub(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Makes the shop answer as the hub does for a repository of these files."""
    for name in ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", shop.url)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        f"{shop.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    )

    def publish(repository: str, files: dict[str, bytes]) -> None:
        commit = "c0ffee" * 6 + "c0ff"
        siblings = [
            {
                "rfilename": name,
                "size": len(data),
                "lfs": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 1},
            }
            for name, data in files.items()
        ]
        shop.answers[f"/api/models/{repository}"] = {"id": repository, "sha": commit, "siblings": siblings}
        shop.files |= {f"/{repository}/resolve/{commit}/{name}": data for name, data in files.items()}

    return publish


SHARDS = {
    "model-00001-of-00002.safetensors": b"one" * 999,
    "model-00002-of-00002.safetensors": b"two" * 999,
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    ).encode(),
}
PLAIN = {"config.json": b"{}", "README.md": b"no weights"}


def test_shards_come_from_the_hub_and_one_kind_is_enough(tmp_path: Path, shop: Shop, hub: Hub) -> None:
    hub("q-future/one-align", {**PLAIN, **SHARDS, "pytorch_model-00001-of-00001.bin": b"old"})
    shop.cuts = [1, 1]
    found = fetch("qalign", tmp_path, silent)
    assert {name: path.read_bytes() for name, path in found.items()} == {"config.json": b"{}", **SHARDS}
    assert left(tmp_path) == set(found)


def test_a_truncated_file_is_noticed_by_its_length_and_fetched_again(tmp_path: Path, hub: Hub) -> None:
    hub("q-future/one-align", {**PLAIN, **SHARDS})
    found = fetch("qalign", tmp_path, silent)
    shard = found["model-00002-of-00002.safetensors"]
    shard.write_bytes(b"tw")
    fetch("qalign", tmp_path, silent)
    assert shard.read_bytes() == b"two" * 999


def test_a_repository_under_its_other_name_keeps_the_published_layout(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(replace(file, size_bytes=None, sha256=None) for file in PUBLISHED["insightface"].files)
    monkeypatch.setitem(PUBLISHED, "insightface", replace(PUBLISHED["insightface"], files=files))
    hub("KlingTeam/LivePortrait", {file.path: file.name.encode() for file in files} | PLAIN)
    found = fetch("insightface", tmp_path, silent)
    assert found["det_10g.onnx"] == tmp_path / "insightface/models/buffalo_l/det_10g.onnx"


def test_a_file_that_the_hub_has_no_more_is_named(tmp_path: Path, hub: Hub) -> None:
    hub("KwaiVGI/LivePortrait", PLAIN)
    with pytest.raises(WeightsMissing, match=r"no longer has insightface/models/buffalo_l/det_10g\.onnx"):
        fetch("insightface", tmp_path, silent)


def test_a_hub_that_does_not_answer_is_a_sentence(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        WeightsMissing, match=r"hub did not list the files of Q-Align \(https://huggingface"
    ) as told:
        fetch("qalign", tmp_path, silent)
    assert "--weights" in told.value.hint and "\n" not in str(told.value)


def test_a_repository_that_is_nowhere_is_a_sentence(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(WeightsMissing, match="did not list the files of LivePortrait"):
        fetch("liveportrait", tmp_path, silent)


def test_shards_of_the_older_kind_do_where_there_are_no_others() -> None:
    listed = ["config.json", "pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin", "x.bin"]
    assert fetching._chosen(PUBLISHED["qalign"], listed) == listed[:3]
