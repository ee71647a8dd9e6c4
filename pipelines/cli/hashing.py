"""Hash inputs and weights before a job is made: what is large takes a while, and says so on a terminal."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from memory.units import GIB
from pipelines.cli.console import Console
from pipelines.engines.availability import Resolved
from pipelines.errors import NotAVideo
from pipelines.jobs.inputs import InputFile
from pipelines.storage.contents import Tick

_SHOWN_BYTES = GIB
"""Smaller files take about a second from a quick disk and are read without a word."""


def hash_all(inputs: Iterable[Path], resolved: Resolved[Any], console: Console) -> None:
    """Hash `inputs` and the weights of `resolved`; the answers are kept for the job. Raises as `InputFile.of`."""
    for path in inputs:
        with _progress(path, console) as tick:
            InputFile.of(path, tick=tick)
    for path in resolved.weight_paths:
        # The job says in its own words that weights cannot be read.
        with suppress(NotAVideo), _progress(path, console) as tick:
            InputFile.of(path, tick=tick)


@contextmanager
def _progress(path: Path, console: Console) -> Iterator[Tick]:
    size_bytes = path.stat().st_size if path.is_file() else 0
    if size_bytes < _SHOWN_BYTES:
        yield lambda count: None
        return
    done = 0
    with console.transfer() as show:

        def tick(count: int) -> None:
            nonlocal done
            done += count
            show(f"reading {path.name}", done, size_bytes)

        yield tick
