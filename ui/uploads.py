"""Files that visitors bring: kept for their jobs, and looked at where a hostile one can do no harm."""

import asyncio
import logging
import shutil
import sys
from pathlib import Path

from pydantic import ValidationError

from pipelines import events
from pipelines.errors import LongtakeError, NotAVideo
from pipelines.events import Event, Planned
from pipelines.jobs import Input
from pipelines.settings import Settings
from pipelines.whole import whole

log = logging.getLogger(__name__)

LOOK_SECONDS = 120.0


class Refused(LongtakeError):
    """What the inspection of a file ended with, told by another process."""

    def __init__(self, event: events.Failed, path: Path) -> None:
        # Visitors know their file's name; where it lies is the server's matter.
        super().__init__(event.message.replace(str(path), path.name), event.hint)
        self.code = event.code
        self.exit_code = event.exit_code


def keep(path: Path, jobs_dir: Path) -> Path:
    """Keep an upload below `jobs_dir/uploads`, under its own name, as long as the jobs; returns where.

    The page's cache is cleaned by age, also under a running job. A hard link costs nothing and survives that; where
    there can be none (another disk) the file is copied. The same contents are kept once.
    """
    target = jobs_dir.absolute() / "uploads" / Input.of(path).content[:16] / path.name
    if target.exists():
        return target
    with whole(target) as part:
        try:
            part.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, part)
    return target


async def inspect_video(task: str, path: Path, settings: Settings, jobs_dir: Path) -> Planned:
    """What `task` would do with a video and hold, found out by a process of its own with a time limit.

    Raises Refused with what that process says, NotAVideo where it crashes or says nothing in time, LongtakeError
    where it fails for a reason of its own.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pipelines", "estimate", task, str(path), "--json"),
        *("--jobs-dir", str(jobs_dir.absolute())),
        *_flags(settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        start_new_session=True,
    )
    try:
        out, words = await asyncio.wait_for(process.communicate(), LOOK_SECONDS)
    except TimeoutError as error:
        raise NotAVideo(
            f"{path.name} could not be understood within {LOOK_SECONDS:.0f} s.", "Convert it and try again."
        ) from error
    finally:
        # Also where the visitor left meanwhile.
        if process.returncode is None:
            process.kill()
            await process.wait()
    log.info(
        "looking at %s ended with %s: %s", path, process.returncode, words.decode(errors="replace").strip()
    )
    return _answer(out, path, process.returncode)


def _flags(settings: Settings) -> list[str]:
    """The settings as flags of the command line, those that differ from their defaults."""
    flags = []
    for name, value in settings.model_dump(mode="json", exclude_defaults=True).items():
        flag = f"--{name.replace('_', '-')}"
        flags.append(flag if value is True else f"{flag}={value}")
    return flags


def _answer(out: bytes, path: Path, code: int | None) -> Planned:
    for line in reversed(out.splitlines()):
        match _parsed(line):
            case events.Planned() as planned:
                return planned
            case events.Failed() as failed:
                raise Refused(failed, path)
            case _:
                continue
    if code == LongtakeError.exit_code:
        raise LongtakeError(f"{path.name} could not be looked at.", "The server's log says why.")
    raise NotAVideo(
        f"{path.name} could not be looked at: the process that tried ended with exit status {code}.",
        "The file may be damaged. Convert it and try again.",
    )


def _parsed(line: bytes) -> Event | None:
    try:
        return events.parse(line)
    except ValidationError:
        return None
