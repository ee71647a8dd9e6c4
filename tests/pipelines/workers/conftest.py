"""Tasks, gates and what one worker makes, for tests of several workers."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.tasks import draw

from .crews import ROOT, SHORT_SPANS, Files, made, run


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return draw(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def short_spans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that give a process spans of eight frames."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "short_spans.py").write_text(SHORT_SPANS)
    return {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "LONGTAKE_PLUGINS": "short_spans",
    }


@pytest.fixture(scope="module")
def plugin(short_spans: dict[str, str]) -> Iterator[None]:
    """Every process that is started from here has spans of eight frames."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in short_spans.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def alone(
    tasks: dict[str, Any], short_spans: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Files]:
    """What one worker makes of a task."""

    @functools.cache
    def files(name: str) -> Files:
        folder = tmp_path_factory.mktemp(name) / "alone"
        run(tasks[name], folder, env={**os.environ, **short_spans})
        return made(folder)

    return files


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a file `hold-N` lets every worker wait before frame N."""
    folder = tmp_path / "gate"
    folder.mkdir()
    monkeypatch.setenv("LONGTAKE_TEST_GATE", str(folder))
    return folder
