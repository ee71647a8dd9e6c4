"""Uploads, kept and inspected in a process where a hostile file can do no harm, and results, handed out."""

import asyncio
import hashlib
import json
import logging
import os
import shutil
import signal
import sys
import time
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from memory.process_tree import ProcessTree
from memory.units import GIB
from pipelines.errors import BadInput, LongtakeError, NotAVideo, OverLimit
from pipelines.jobs import events
from pipelines.jobs.events import Event, Planned
from pipelines.settings import AnimateSettings, Settings
from pipelines.storage.atomic import atomic_write
from pipelines.storage.contents import read_contents, remember
from pipelines.storage.names import quoted, shortened, to_json
from pipelines.storage.paths import PROJECT_ROOT
from pipelines.workers.inspect import Asked, FacesQuestion, MarksQuestion, PlanQuestion, StillQuestion
from ui.jobs.hashing import fingerprint
from ui.server.answers import visitor_error

log = logging.getLogger(__name__)

_LOGGED_CHARACTERS = 1000
"""The most that is logged of what an inspection wrote to stderr: the last frames of a traceback."""
INSPECT_SECONDS = 120.0
"""The time limit of one inspection; a file that takes longer is refused."""
_MEMORY_SECONDS = 0.1
"""How often its memory is read: a process that fills memory as fast as it can gets half a GiB further meanwhile."""


def keep(path: Path, jobs_dir: Path) -> Path:
    """Keep an upload below `jobs_dir/uploads`, under its own name, as long as the jobs; returns the new path.

    The page's cache is cleaned by age, even while a job reads it. A hard link costs nothing and survives that; where
    none can be made (another disk) the file is copied. Equal contents, of whichever visitor, are kept once: the folder
    is named by the hash of all bytes, and what lies there is used only where it has that hash.
    """
    contents = read_contents(path)
    target = jobs_dir.absolute() / "uploads" / contents.sha256 / path.name
    if target.exists() and read_contents(target).sha256 != contents.sha256:
        target.unlink()  # damaged by the disk or by hand
    kept = _link_or_copy(path, target)
    # Links and the cleaner's time are no new contents: none of both has to be hashed again.
    remember(path, contents)
    remember(kept, contents)
    return kept


def hand_out(path: Path, cache: Path, name: str, called: str = "") -> str:
    """Link the result at `path` into the page's cache, from where files are served; returns the new path.

    No part of the jobs' folder is ever served. The new folder begins with `name`, which cannot be guessed and opens
    nothing else (`Keys.files`); the file there is `called` so, or as before. Raises OSError where the result is gone.
    """
    return str(_link_or_copy(path, cache / f"{name}-{path.stat().st_mtime_ns:x}" / (called or path.name)))


def _link_or_copy(path: Path, target: Path) -> Path:
    if target.exists():
        # The cleaner goes by ctime: count it as new, with the time at which it was written.
        os.utime(target, ns=(time.time_ns(), target.stat().st_mtime_ns))
        return target
    with atomic_write(target) as part:
        try:
            part.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, part)
    return target


def uploads_only(file: gr.File) -> gr.File:
    """Make `file` refuse URLs: Gradio would download them from this machine, which must make no requests."""
    into_cache = file.async_move_resource_to_block_cache

    async def refuse_addresses(path: str | Path | None) -> str | None:
        if "://" in str(path):
            raise visitor_error(
                BadInput(
                    f"{quoted(str(path))} is an address.",
                    "Download it, then upload the file.",
                    "input.address",
                )
            )
        return await into_cache(path)

    file.async_move_resource_to_block_cache = refuse_addresses  # type: ignore[assignment, method-assign]
    return file


async def example_clip(jobs_dir: Path) -> Path:
    """The example clip, drawn at the first call by a subprocess. Raises LongtakeError where that fails."""
    path = jobs_dir.absolute() / "example" / EXAMPLE_NAME
    if not path.exists():
        await _draw("-o", str(path))
    return path


async def example_portrait(jobs_dir: Path) -> tuple[Path, Path]:
    """The example portrait and its driving video, drawn at the first call by a subprocess. Raises LongtakeError."""
    folder = jobs_dir.absolute() / "example"
    paths = folder / PORTRAIT_NAME, folder / DRIVING_NAME
    if not all(path.exists() for path in paths):
        await _draw("--portrait", "-o", str(folder))
    return paths


async def removal_clip(jobs_dir: Path) -> Path:
    """The example of a removal, drawn at the first call by a subprocess. Raises LongtakeError where that fails."""
    path = jobs_dir.absolute() / "example" / REMOVAL_NAME
    if not path.exists():
        await _draw("--removal", "-o", str(path))
    return path


async def _draw(*flags: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pipelines", "example", *flags),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=PROJECT_ROOT,
    )
    _, stderr = await process.communicate()
    if process.returncode:
        raise LongtakeError(
            "The example could not be drawn.", stderr.decode(errors="replace").strip(), "example.failed"
        )


Ask = Callable[[Asked], Awaitable[Event]]
"""Has a question answered by a subprocess; raises what `ask_process` raises."""


async def inspect_video(
    task: str, inputs: Sequence[Path], settings: Settings, jobs_dir: Path, ask: Ask | None = None
) -> Planned:
    """Plan a run of `task` on `inputs`, in a subprocess with a time limit.

    Raises the error that the subprocess reports, NotAVideo where it crashes or exceeds the time limit, LongtakeError
    where it fails for a reason of its own.
    """
    asked = settings.model_dump(mode="json")
    question = PlanQuestion(task=task, inputs=tuple(inputs), asked=asked, jobs_dir=jobs_dir.absolute())
    plan = await (ask or ask_process)(question)
    assert isinstance(plan, Planned)
    return plan


def place_of_look(cache: Path, kind: str, known: Sequence[str], name: str) -> Path:
    """Where a picture of the uploads with the hashes `known` is drawn; what is there counts as new for the cleaner.

    The folder is named by the hashes, so that it goes with the uploads.
    """
    folder = cache / kind / "-".join(known)
    with suppress(FileNotFoundError):
        os.utime(folder)
    return folder / name


async def still(
    path: Path, frame: int, cache: Path, most_pixels: int | None = None, ask: Ask | None = None
) -> Path:
    """Write a frame of a video as a JPEG into the page's `cache`, by a subprocess.

    Raises OverLimit for a frame of more than `most_pixels`, and what `inspect_video` raises.
    """
    picture = place_of_look(cache, "stills", [await fingerprint(path)], f"{frame:08d}.jpg")
    if not picture.exists():
        question = StillQuestion(path=path, frame=frame, picture=picture, most_pixels=most_pixels)
        await (ask or ask_process)(question)
    return picture


async def faces_of(
    inputs: Sequence[Path],
    settings: AnimateSettings,
    cache: Path,
    most_pixels: int | None = None,
    ask: Ask | None = None,
) -> tuple[Path, dict[str, list[dict[str, Any]]]]:
    """Draw source and driving, or the source alone, with the faces that an animation takes, in the page's `cache`.

    Returns the path of a JPEG, the `places` of faces on it (fields of `FacePlace`) and the sides that are `missing` one
    (fields of `MissingFace`). Raises OverLimit for an input of more than `most_pixels`, and the errors of
    `inspect_video`.
    """
    asked = settings.model_dump(mode="json")
    known = [await fingerprint(path) for path in inputs]
    identity = repr(sorted(asked.items()))
    picture = place_of_look(cache, "faces", known, f"{hashlib.sha256(identity.encode()).hexdigest()}.jpg")
    if not picture.exists():
        question = FacesQuestion(inputs=tuple(inputs), asked=asked, picture=picture, most_pixels=most_pixels)
        await (ask or ask_process)(question)
    return picture, json.loads(picture.with_suffix(".json").read_bytes())


async def marks(
    video: Path, strokes: str, size: tuple[int, int], folder: Path, ask: Ask | None = None, *, follow: bool
) -> Path | None:
    """Draw brush strokes on `video` as a mask file below `folder`, by a subprocess; None where no paint is left.

    Raises BadInput for what is no stroke, OverLimit for too many, and what `inspect_video` raises.
    """
    question = MarksQuestion(video=video, strokes=strokes, size=size, follow=follow, folder=folder)
    answer = await (ask or ask_process)(question)
    assert isinstance(answer, events.Preview)
    return answer.path if answer.path != folder else None


async def ask_process(question: Asked, most_bytes: int | None = None) -> Event:
    """Have `question` answered by a subprocess with a time limit that may hold `most_bytes` of memory.

    Raises the error that the subprocess reports, OverLimit where it takes more memory, NotAVideo where it crashes or
    exceeds the time limit, LongtakeError where it fails for a reason of its own.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pipelines.workers.inspect"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=PROJECT_ROOT,
        start_new_session=True,
    )
    name = shortened(question.files[0].name)
    exchange = asyncio.ensure_future(process.communicate(to_json(question)))
    too_much = asyncio.ensure_future(_until_over(process.pid, most_bytes))
    try:
        await asyncio.wait((exchange, too_much), timeout=INSPECT_SECONDS, return_when=FIRST_COMPLETED)
        if exchange.done():
            out, stderr = exchange.result()
        elif too_much.done():
            raise OverLimit(
                f"{name} takes more than {too_much.result() / GIB:.1f} GiB of memory to look at.",
                "Encode it smaller, or make it of fewer pixels.",
                "memory.inspection",
                name=name,
                most_bytes=too_much.result(),
            )
        else:
            raise NotAVideo(
                f"{name} could not be understood within {INSPECT_SECONDS:.0f} s.",
                "Convert it and try again.",
                "video.inspection_slow",
                name=name,
                seconds=round(INSPECT_SECONDS),
            )
    finally:
        # Reached on cancellation too: the visitor may have left.
        too_much.cancel()
        await _end(process)
        exchange.cancel()
    told = shortened(stderr.decode(errors="replace").strip(), _LOGGED_CHARACTERS)
    # Of those that go well there are several for each file that somebody chooses.
    level = logging.INFO if process.returncode else logging.DEBUG
    log.log(level, "inspecting %s ended with %s: %s", name, process.returncode, told)
    return _answer(out, question.files, process.returncode)


async def _until_over(pid: int, most_bytes: int | None) -> int:
    """Wait until a process and its children hold more than `most_bytes`; returns that."""
    tree = ProcessTree(pid)
    while most_bytes is None or sum(held.held_bytes for held in tree.read().values()) <= most_bytes:
        await asyncio.sleep(_MEMORY_SECONDS)
    return most_bytes


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a process and its children, unless it has ended."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own
        else:
            process.kill()
    await process.wait()


def _answer(out: bytes, paths: Sequence[Path], code: int | None) -> Event:
    name = shortened(paths[0].name)
    for line in reversed(out.splitlines()):
        match _parsed(line):
            case events.Planned() | events.Preview() as answer:
                return answer
            case events.Failed() as failed:
                raise failed.to_error(*paths)
            case _:
                continue
    if code == LongtakeError.exit_code:
        raise LongtakeError(
            f"{name} could not be looked at.",
            "The server's log says why.",
            "video.inspection_failed",
            name=name,
        )
    raise NotAVideo(
        f"{name} could not be looked at: the process that tried ended with exit status {code}.",
        "The file may be damaged. Convert it and try again.",
        "video.not_inspected",
        name=name,
    )


def _parsed(line: bytes) -> Event | None:
    try:
        return events.parse(line)
    except ValidationError:
        return None


EXAMPLE_NAME, PORTRAIT_NAME, DRIVING_NAME, REMOVAL_NAME = (
    f"longtake-{name}" for name in ("example.mp4", "portrait.png", "driving.mp4", "balloon.mp4")
)
REMOVAL_BOX = "92,74,72,96@0"
"""The balloon on the first frame of the example of a removal, as `pipelines.example.crossing.BOX` has it."""
