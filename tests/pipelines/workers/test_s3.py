"""The promises of an object store on Amazon's protocol: s3fs against a server of moto on this machine."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import FolderUnusable
from pipelines.storage import store_pieces
from pipelines.storage.kept_files import describe
from pipelines.storage.object_store import ObjectStore, Patience, StoreDown
from pipelines.storage.store_pieces import fetch_file, put_file

from .crews import ROOT, Files, made, run

pytest.importorskip("s3fs", reason="requirements-store.txt is not installed")
server = pytest.importorskip("moto.server", reason="moto[server] is not installed, which brings 30 packages")

pytestmark = pytest.mark.usefixtures("plugin")
ADDRESS = "s3://bucket/prefix"
CALM = Patience(lambda: None, pytest.fail)


@pytest.fixture(scope="module", autouse=True)
def moto() -> Iterator[Any]:
    with socket.socket() as free, pytest.MonkeyPatch.context() as patch:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for name, value in (
            ("ACCESS_KEY_ID", "me"),
            ("SECRET_ACCESS_KEY", "x"),
            ("DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(f"AWS_{name}", value)
        started = server.ThreadedMotoServer("127.0.0.1", port, verbose=False)
        started.start()
        import boto3

        boto3.client("s3").create_bucket(Bucket="bucket")
        yield started
        started.stop()


def test_of_eight_writers_one_wins() -> None:
    store, won, start = ObjectStore(ADDRESS), [], threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        if CALM(lambda: store.put_new("taken", b"%d" % number)):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and store.get("taken") == b"%d" % won[0]
    assert store.claim("taken", b"%d" % won[0]) and not store.claim("taken", b"other")


def test_it_passes_the_probe_and_a_missing_bucket_does_not() -> None:
    ObjectStore(ADDRESS).check("probes/one")
    with pytest.raises(FolderUnusable, match="the bucket is missing"):
        ObjectStore("s3://another-bucket/prefix").check("probes/one")


def test_objects_are_listed_with_the_times_of_the_store_and_removed() -> None:
    store = ObjectStore(ADDRESS)
    for name in ("a", "b", "deep/c"):
        store.put(f"alive/{name}", b"")
    found = store.list("alive")
    assert sorted(found) == ["a", "b", "deep/c"] and max(found.values()) - min(found.values()) <= 60
    store.remove("alive/a")
    store.remove("alive/a")
    store.remove_all("alive")
    assert store.list("alive") == {} and store.get("alive/b") is None


def test_a_file_travels_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_pieces, "_PIECE_BYTES", 2**20)
    path = tmp_path / "film.mp4"
    path.write_bytes(os.urandom(5 * 2**19))
    (file,) = describe(tmp_path, [path])
    store = ObjectStore(ADDRESS)
    put_file(store, "inputs", path, file, CALM, lambda: None)
    assert len(store.list(f"inputs/{file.sha256}")) == 3
    fetch_file(store, "inputs", file, tmp_path / "there", CALM, lambda: None)
    assert (tmp_path / "there").read_bytes() == path.read_bytes()


def test_a_store_that_cannot_be_reached_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(StoreDown, match="cannot be reached"):
            ObjectStore(ADDRESS).get("a")


def test_a_worker_of_a_bucket_makes_the_result_of_one(
    tasks: dict[str, Any], alone: Callable[[str], Files], tmp_path: Path
) -> None:
    cache = {**os.environ, "LONGTAKE_CACHE": str(tmp_path / "cache")}
    work = [sys.executable, "-m", "pipelines", "work", "--store", ADDRESS]
    worker = subprocess.Popen(work, cwd=ROOT, env=cache, stderr=subprocess.DEVNULL)
    try:
        run(tasks["score"], tmp_path / "crew", "--crew", "pulled", "--store", ADDRESS)
        assert made(tmp_path / "crew") == alone("score")
        worker.terminate()
        assert worker.wait() == 0
    finally:
        worker.kill()
        worker.wait()
    store = ObjectStore(ADDRESS)
    assert store.list("inputs") and not any(map(store.list, ("alive", "workers", "runs", "probes")))
