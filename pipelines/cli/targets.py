"""Where results are put: tried before the work starts, and never on an input.

What is found out only at the end costs no finished work: the error says where the result lies.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from memory.units import KIB, MIB
from pipelines.errors import BadInput, NotEnoughDisk, kind_of
from pipelines.settings import VIDEO_SUFFIXES, FilmSettings, Settings
from pipelines.storage.atomic import check_writable, sweep
from pipelines.storage.special_files import special_kind

_MOST_NAME_BYTES = 255
"""The longest name that common file systems take, where this one does not say."""
_LEAST_FREE_BYTES = 256 * KIB
"""Room for a table, a report or a chart."""
_PICTURE = ".png"
"""The one suffix of results that folders of pictures are read for."""
_ELSEWHERE = "Choose another -o, or leave it out: the result also stays in --jobs-dir."
_Inode = tuple[int, int]


def check_target(target: Path, inputs: Sequence[Path], *, need_bytes: int = 0) -> None:
    """Try whether a file can be put at `target`; leaves nothing there.

    Raises BadInput where it is an input or would become one, is a folder or no file, has too long a name, or its
    folder cannot be written to; NotEnoughDisk where there is no room for `need_bytes`.
    """
    reject_inputs([target], inputs)
    if os.path.isdir(target):  # noqa: PTH112 - a name that is too long is no error yet
        raise BadInput(f"{target} is a folder.", "Give -o the name of a file.")
    if kind := special_kind(target):
        raise BadInput(f"{target} is {kind}, not a file.", "Give -o the name of a file.")
    if target.suffix.lower() == _PICTURE and _inode(target.parent) in {_inode(path) for path in inputs}:
        raise BadInput(
            f"{target} would become one of the pictures in {target.parent}, which is an input.",
            "Choose another folder for the result.",
        )
    check_folder(target.parent, name=target.name, need_bytes=need_bytes)


def check_folder(folder: Path, *, name: str = "", need_bytes: int = 0) -> None:
    """Try whether `folder`, and in it a file called `name`, can be made; raises as `check_target`."""
    there, missing = folder.absolute(), [name] if name else []
    try:
        while not os.path.lexists(there):
            missing.append(there.name)
            there = there.parent
        _check_names(there, missing)
        if not there.is_dir():
            raise BadInput(f"{there} is not a folder.", _ELSEWHERE)
        check_writable(there)
        usage = shutil.disk_usage(there)
    except OSError as error:
        raise kind_of(error)(
            f"{folder} cannot be written to: {error.strerror or error}.", _ELSEWHERE
        ) from error
    need_bytes = max(need_bytes, _LEAST_FREE_BYTES)
    # Some network file systems say 0 of 0.
    if usage.total and usage.free < need_bytes:
        raise NotEnoughDisk(
            f"{folder} has {usage.free / MIB:.1f} MiB free; the result may take {need_bytes / MIB:.1f} MiB.",
            f"Free some space. {_ELSEWHERE}",
        )


def reject_inputs(targets: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raise BadInput where one of `targets` is one of `inputs` or a file in one, by whatever name, or a frame of one.

    Holds a few bytes for each file of the inputs.
    """
    there = {found: target for target in targets if (found := _inode(target))}
    known = _files_of(inputs) if there else {}
    for found, target in there.items():
        if (given := known.get(found)) is not None:
            also = "" if given == target else f" ({given})"
            raise BadInput(
                f"{target} is an input{also}, which is never written over.",
                "Choose another name or folder for the result.",
            )


def check_frames_out(settings: Settings, inputs: Sequence[Path]) -> None:
    """Raise BadInput where `--frames-out` is a folder of inputs, or has an input among its pictures."""
    if not isinstance(settings, FilmSettings) or settings.frames_out is None:
        return
    folder = settings.frames_out
    with suppress(OSError):
        reject_inputs([folder, *folder.glob(f"*{_PICTURE}")], inputs)


def video_suffix(settings: Settings) -> str | None:
    """The suffix of the video that a task with these settings makes; None where it makes none."""
    return VIDEO_SUFFIXES[settings.codec] if isinstance(settings, FilmSettings) else None


def expected_bytes(video: Path, target: Path, settings: Settings) -> int:
    """What a result at `target` may take: a video as much as its source, as when a job is planned; else 0: unknown."""
    partly = settings.start is not None or settings.end is not None
    if target.suffix.lower() not in VIDEO_SUFFIXES.values() or partly or not video.is_file():
        return 0
    return video.stat().st_size


@contextmanager
def writing(place: Path, kept: Path | None = None) -> Iterator[None]:
    """Turn OSErrors at `place` into NotEnoughDisk or BadInput; `kept` is where the result lies anyway."""
    try:
        sweep(place.parent, place.name)
        yield
    except BrokenPipeError:
        # Whoever reads our stdout is gone; that is no matter of files.
        raise
    except OSError as error:
        lies = f"The job is done and its result is {kept}." if kept else ""
        raise kind_of(error)(
            f"{place} cannot be written: {error.strerror or error}. {lies}".strip(),
            "Copy it from there, or run the same command again with another -o." if kept else _ELSEWHERE,
        ) from error


def _check_names(folder: Path, names: Sequence[str]) -> None:
    """Raise BadInput where one of `names` is longer than the file system of `folder` takes."""
    most = _MOST_NAME_BYTES
    with suppress(AttributeError, OSError, ValueError):
        most = os.pathconf(folder, "PC_NAME_MAX")
    for name in names:
        if (size := len(os.fsencode(name))) > most:
            raise BadInput(
                f"The name {name[:20]}... has {size} bytes; {most} are allowed here.",
                "Choose a shorter one.",
            )


def _files_of(inputs: Sequence[Path]) -> dict[_Inode, Path]:
    """The inputs, and the files in them where they are folders, by what they are on disk."""
    found: dict[_Inode, Path] = {}
    for path in map(Path.expanduser, inputs):
        below = (Path(folder, name) for folder, *names in os.walk(path) for name in chain(*names))
        for each in chain([path], below):
            if inode := _inode(each):
                found[inode] = each
    return found


def _inode(path: Path) -> _Inode | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
