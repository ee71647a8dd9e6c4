"""Before a job is made, its inputs and weights are hashed; what is large says how far that is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from pipelines.cli import hashing
from pipelines.cli.console import Console
from pipelines.cli.hashing import hash_all
from pipelines.engines.availability import Resolved, resolve
from pipelines.errors import NotAVideo
from pipelines.runtime.planning import estimate
from pipelines.settings import ScoreSettings
from pipelines.storage import contents, hash_cache

MIB = 2**20


class Told:
    """A console that notes what a progress bar would show."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, int, int | None]] = []

    @contextmanager
    def transfer(self) -> Iterator[Callable[[str, int, int | None], None]]:
        yield lambda *told: self.shown.append(told)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.avi"
    path.write_bytes(bytes(9 * MIB))
    return path


def resolved(*weights: Path) -> Resolved[Any]:
    built_in = resolve("score", ScoreSettings(engine="builtin"))
    return Resolved(built_in.settings, built_in.engine, {"net": {path.name: path for path in weights}})


def test_a_large_file_is_told_once_and_then_known(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_SHOWN_BYTES", MIB)
    hash_cache._memory.clear()
    console = Told()
    hash_all([film, film.parent], resolved(film), cast(Console, console))
    assert console.shown == [("reading film.avi", (n + 1) * MIB, 9 * MIB) for n in range(9)]


def test_a_small_file_is_read_without_a_word(film: Path) -> None:
    console = Told()
    hash_all([film], resolved(), cast(Console, console))
    assert console.shown == []


def test_an_input_that_is_missing_is_refused_and_weights_are_left_to_the_job(film: Path) -> None:
    console = cast(Console, Told())
    hash_all([film], resolved(film.with_name("gone.pth")), console)
    with pytest.raises(NotAVideo, match=r"gone\.avi cannot be read"):
        hash_all([film.with_name("gone.avi")], resolved(), console)


def test_an_estimate_hashes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.new("RGB", (64, 48), (number, 0, 0)).save(tmp_path / "pictures" / f"{number}.png")
    monkeypatch.setattr(contents, "_hash", lambda *given: pytest.fail("hashed"))
    assert estimate("score", (tmp_path / "pictures",), ScoreSettings(), tmp_path).frames == 3
