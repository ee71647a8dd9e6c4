"""An object store: one winner, clear refusals, no secrets in what is said, and files in pieces by their contents."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import BadInput, FolderUnusable
from pipelines.storage import store_pieces
from pipelines.storage.kept_files import KeptFile, describe
from pipelines.storage.object_store import ObjectStore, Patience, StoreDown
from pipelines.storage.store_pieces import NotInStore, fetch_file, put_file
from tests.pipelines.workers.shelf import make_bucket


class Bucket:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = make_bucket(folder)
        self.store = ObjectStore(self.address)

    def objects(self) -> list[str]:
        start = self.folder / "prefix"
        return sorted(path.relative_to(start).as_posix() for path in start.rglob("*") if path.is_file())


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(tmp_path / "bucket")


def never() -> None:
    raise AssertionError("the store is not away")


PATIENT = Patience(never, pytest.fail)


def test_of_eight_writers_one_wins(bucket: Bucket) -> None:
    start, won = threading.Barrier(8), []

    def write(number: int) -> None:
        start.wait()
        if bucket.store.put_new("taken", b"%d" % number):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and bucket.store.get("taken") == b"%d" % won[0]


def test_whose_answer_got_lost_has_it_all_the_same(bucket: Bucket) -> None:
    assert bucket.store.put_new("taken", b"me")
    assert bucket.store.claim("taken", b"me")
    assert not bucket.store.claim("taken", b"you")


def test_what_is_missing_is_nothing(bucket: Bucket) -> None:
    assert bucket.store.get("none") is None
    assert bucket.store.list("none") == {}
    bucket.store.remove("none")
    bucket.store.remove_all("none")


def test_a_list_has_the_names_below_and_their_times(bucket: Bucket) -> None:
    for key in ("alive/a", "alive/b/c", "other/d"):
        bucket.store.put(key, b"")
    assert sorted(bucket.store.list("alive")) == ["a", "b/c"]
    assert all(time > 1e9 for time in bucket.store.list("alive").values())


def test_a_good_store_passes_the_probe_and_nothing_stays(bucket: Bucket) -> None:
    bucket.store.check("probe")
    assert bucket.objects() == []


def test_a_store_without_conditional_writes_is_refused(bucket: Bucket) -> None:
    with pytest.raises(FolderUnusable, match="does not keep the first of two writers"):
        ObjectStore(bucket.address.replace("shelf", "loose")).check("probe")


@pytest.mark.parametrize(
    ("mark", "words"),
    [(".refused", "refuses the credentials"), (".away", "cannot be reached"), ("", "bucket is missing")],
)
def test_a_store_that_cannot_be_used_says_why_and_names_no_secret(
    bucket: Bucket, mark: str, words: str
) -> None:
    if mark:
        (bucket.folder / mark).touch()
    else:
        (bucket.folder / ".bucket").unlink()
    with pytest.raises(FolderUnusable, match=words) as caught:
        bucket.store.check("probe")
    assert "hunter2" not in str(caught.value) + str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3:/bucket", "no address of a store"),
        ("jobs", "no address of a store"),
        ("s3://key:hunter2@bucket", "no credentials"),
        ("shelf:///x?secret=hunter2", "no credentials"),
        ("nothing://x", "no kind of store"),
        ("file:///tmp", "does not keep the first"),
    ],
)
def test_an_address_that_is_none_is_bad_input(address: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        ObjectStore(address)
    assert "hunter2" not in str(caught.value)


def test_patience_tries_again_and_tells_once(bucket: Bucket) -> None:
    away, told, waited = bucket.folder / ".away", [], []
    away.touch()

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            away.unlink()

    patience = Patience(lambda: None, told.append, wait)
    assert patience(lambda: bucket.store.put_new("a", b""))
    assert waited == [1.0] * 3 and told == ["it cannot be reached (ConnectionError)"]


def test_patience_ends_where_the_job_stops_or_is_over(bucket: Bucket) -> None:
    (bucket.folder / ".away").touch()
    with pytest.raises(AssertionError, match="not away"):
        Patience(never, lambda reason: None)(lambda: bucket.store.get("a"))
    patience = Patience(never, pytest.fail)
    patience.end()
    with pytest.raises(StoreDown):
        patience(lambda: bucket.store.get("a"))


# -- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, KeptFile]:
    """A file of three pieces."""
    monkeypatch.setattr(store_pieces, "_PIECE_BYTES", 4)
    path = tmp_path / "film.mp4"
    path.write_bytes(b"0123456789")
    (file,) = describe(tmp_path, [path])
    return path, file


def put(bucket: Bucket, film: tuple[Path, KeptFile], tick: Callable[[], None] = lambda: None) -> None:
    put_file(bucket.store, "inputs", *film, PATIENT, tick)


def fetch(bucket: Bucket, file: KeptFile, path: Path) -> bytes:
    fetch_file(bucket.store, "inputs", file, path, PATIENT, lambda: None)
    return path.read_bytes()


def test_a_file_travels_in_pieces_by_its_contents(
    bucket: Bucket, film: tuple[Path, KeptFile], tmp_path: Path
) -> None:
    put(bucket, film)
    assert bucket.objects() == [f"inputs/{film[1].sha256}/{index:06d}" for index in range(3)]
    assert fetch(bucket, film[1], tmp_path / "there") == b"0123456789"


def test_an_empty_file_travels_too(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (file,) = describe(tmp_path, [tmp_path / "empty"])
    put(bucket, (tmp_path / "empty", file))
    assert fetch(bucket, file, tmp_path / "there") == b""


def test_what_was_sent_before_an_interruption_is_not_sent_again(
    bucket: Bucket, film: tuple[Path, KeptFile]
) -> None:
    ticks = iter([None, None])
    with pytest.raises(StopIteration):
        put(bucket, film, lambda: next(ticks))
    bucket.store.requests.clear()
    put(bucket, film)
    assert bucket.store.requests["put"] == 1 and len(bucket.objects()) == 3


def test_a_file_that_changes_while_it_is_sent_leaves_nothing(
    bucket: Bucket, film: tuple[Path, KeptFile]
) -> None:
    film[0].write_bytes(b"0123456780")
    with pytest.raises(NotInStore, match=r"film\.mp4 was changed"):
        put(bucket, film)
    assert bucket.objects() == []


def test_a_damaged_or_missing_piece_is_noticed_and_nothing_published(
    bucket: Bucket, film: tuple[Path, KeptFile], tmp_path: Path
) -> None:
    put(bucket, film)
    piece = bucket.folder / "prefix" / bucket.objects()[1]
    piece.write_bytes(b"4x67")
    with pytest.raises(NotInStore, match="damaged"):
        fetch(bucket, film[1], tmp_path / "there")
    piece.unlink()
    with pytest.raises(NotInStore, match="is not in the store"):
        fetch(bucket, film[1], tmp_path / "there")
    assert not [path for path in tmp_path.iterdir() if "there" in path.name]
