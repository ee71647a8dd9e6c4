"""Uploads, kept and inspected in a process where a hostile file can do no harm, and results, handed out."""

import asyncio
import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from pipelines.errors import BadInput, LongtakeError, NotAVideo
from pipelines.jobs import events
from pipelines.jobs.events import Event, Planned
from pipelines.jobs.inputs import InputFile
from pipelines.settings import AnimateSettings, Settings
from pipelines.storage.atomic import atomic_write
from pipelines.storage.names import quoted, shortened, to_json
from pipelines.storage.paths import PROJECT_ROOT
from pipelines.workers.inspect import Asked, FacesQuestion, PlanQuestion, StillQuestion
from ui.server.answers import visitor_error

log = logging.getLogger(__name__)

_LOGGED_CHARACTERS = 1000
"""The most that is logged of what an inspection wrote to stderr: the last frames of a traceback."""
INSPECT_SECONDS = 120.0
"""The time limit of one inspection; a file that takes longer is refused."""


def keep(path: Path, jobs_dir: Path) -> Path:
    """Keep an upload below `jobs_dir/uploads`, under its own name, as long as the jobs; returns the new path.

    The page's cache is cleaned by age, even while a job reads it. A hard link costs nothing and survives that; where
    none can be made (another disk) the file is copied. Equal contents are kept once.
    """
    return _link_or_copy(
        path, jobs_dir.absolute() / "uploads" / InputFile.of(path).fingerprint[:16] / path.name
    )


def hand_out(path: Path, cache: Path, name: str) -> str:
    """Link the result at `path` into the page's cache, from where files are served; returns the new path.

    No part of the jobs' folder is ever served. The new folder begins with `name`, which cannot be guessed and opens
    nothing else (`Keys.files`). Raises OSError where the result is gone.
    """
    return str(_link_or_copy(path, cache / f"{name}-{path.stat().st_mtime_ns:x}" / path.name))


def _link_or_copy(path: Path, target: Path) -> Path:
    if target.exists():
        target.touch()  # the cleaner goes by age: count it as new
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
                BadInput(f"{quoted(str(path))} is an address.", "Download it, then upload the file.")
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
        raise LongtakeError("The example could not be drawn.", stderr.decode(errors="replace").strip())


async def inspect_video(task: str, inputs: Sequence[Path], settings: Settings, jobs_dir: Path) -> Planned:
    """Plan a run of `task` on `inputs`, in a subprocess with a time limit.

    Raises the error that the subprocess reports, NotAVideo where it crashes or exceeds the time limit, LongtakeError
    where it fails for a reason of its own.
    """
    asked = settings.model_dump(mode="json")
    question = PlanQuestion(task=task, inputs=tuple(inputs), asked=asked, jobs_dir=jobs_dir.absolute())
    plan = await _ask(question)
    assert isinstance(plan, Planned)
    return plan


async def still(path: Path, frame: int, cache: Path, most_pixels: int | None = None) -> Path:
    """Write a frame of a video as a JPEG into the page's `cache`, by a subprocess.

    Raises OverLimit for a frame of more than `most_pixels`, and what `inspect_video` raises.
    """
    picture = cache / "stills" / InputFile.of(path).fingerprint[:16] / f"{frame:08d}.jpg"
    if not picture.exists():
        await _ask(StillQuestion(path=path, frame=frame, picture=picture, most_pixels=most_pixels))
    return picture


async def faces_of(
    source: Path, driving: Path, settings: AnimateSettings, cache: Path, most_pixels: int | None = None
) -> tuple[Path, dict[str, list[dict[str, Any]]]]:
    """Draw source and driving with the faces that an animation takes, as a JPEG in the page's `cache`.

    Returns its path, the `places` of faces on it (fields of `FacePlace`) and the sides that are `missing` one (fields
    of `MissingFace`). Raises OverLimit for an input of more than `most_pixels`, and what `inspect_video` raises.
    """
    asked = settings.model_dump(mode="json")
    identity = "".join(
        [*(InputFile.of(path).fingerprint for path in (source, driving)), repr(sorted(asked.items()))]
    )
    picture = cache / "faces" / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.jpg"
    if not picture.exists():
        question = FacesQuestion(
            inputs=(source, driving), asked=asked, picture=picture, most_pixels=most_pixels
        )
        await _ask(question)
    return picture, json.loads(picture.with_suffix(".json").read_bytes())


async def _ask(question: Asked) -> Event:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pipelines.workers.inspect"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=PROJECT_ROOT,
        start_new_session=True,
    )
    paths = (question.path,) if isinstance(question, StillQuestion) else question.inputs
    name = shortened(paths[0].name)
    try:
        exchange = process.communicate(to_json(question))
        out, stderr = await asyncio.wait_for(exchange, INSPECT_SECONDS)
    except TimeoutError as error:
        raise NotAVideo(
            f"{name} could not be understood within {INSPECT_SECONDS:.0f} s.",
            "Convert it and try again.",
        ) from error
    finally:
        # Reached on cancellation too: the visitor may have left.
        if process.returncode is None:
            process.kill()
            await process.wait()
    log.info(
        "inspecting %s ended with %s: %s",
        name,
        process.returncode,
        shortened(stderr.decode(errors="replace").strip(), _LOGGED_CHARACTERS),
    )
    return _answer(out, paths, process.returncode)


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
        raise LongtakeError(f"{name} could not be looked at.", "The server's log says why.")
    raise NotAVideo(
        f"{name} could not be looked at: the process that tried ended with exit status {code}.",
        "The file may be damaged. Convert it and try again.",
    )


def _parsed(line: bytes) -> Event | None:
    try:
        return events.parse(line)
    except ValidationError:
        return None


EXAMPLE_NAME, PORTRAIT_NAME, DRIVING_NAME = (
    f"longtake-{name}" for name in ("example.mp4", "portrait.png", "driving.mp4")
)
