"""Inspect a video in a separate process: a question on stdin, its answer as an event on stdout.

A hostile file may crash a decoder or keep it busy forever; here that costs this process and a time limit.
"""

import json
import sys
from contextlib import closing
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipelines.errors import BadInput, LongtakeError
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.settings import AnimateSettings, MaskSettings
from pipelines.spec import read_settings
from pipelines.storage.atomic import write_bytes
from pipelines.storage.names import StoredPath, to_json
from pipelines.video.pictures.limits import check_pixels


class PlanQuestion(BaseModel):
    """How would `task` run with these settings, and in how much memory? Answered by `planned`."""

    model_config = ConfigDict(frozen=True)
    type: Literal["plan"] = "plan"
    task: str
    inputs: tuple[StoredPath, ...]
    asked: dict[str, Any]
    jobs_dir: StoredPath

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are looked at, the one that errors name first."""
        return self.inputs


class StillQuestion(BaseModel):
    """What does `frame` look like? Answered by `preview`, a JPEG at `picture` at most `most_width_px` wide."""

    model_config = ConfigDict(frozen=True)
    type: Literal["still"] = "still"
    path: StoredPath
    frame: int = Field(ge=0)
    picture: StoredPath
    most_width_px: int = 1280
    most_pixels: int | None = None
    """Largest size of the frame, where the server sets a limit."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The file that is looked at."""
        return (self.path,)


class ThumbnailQuestion(BaseModel):
    """What does a job's input look like? Answered by `preview`, a small JPEG at `picture`: the frame at `start`.

    The picture is of the first of `inputs`. A file beside it, with the suffix `.json`, has the length of the first that
    moves, in `seconds`; null where none does.
    """

    model_config = ConfigDict(frozen=True)
    type: Literal["thumbnail"] = "thumbnail"
    inputs: tuple[StoredPath, ...] = Field(min_length=1)
    start: float = Field(ge=0)
    picture: StoredPath
    most_width_px: int
    most_pixels: int | None = None
    """Largest size of a frame, where the server sets a limit."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are looked at, the one that errors name first."""
        return self.inputs


class FacesQuestion(BaseModel):
    """Which faces would an animation take? Answered by `preview`, a JPEG at `picture`: source and driving, marked.

    Without a driving among `inputs`, the source alone.

    A file beside it, with the suffix `.json`, has the position of each face (`places`, of `FacePlace`) and the sides
    without one (`missing`, of `MissingFace`).
    """

    model_config = ConfigDict(frozen=True)
    type: Literal["faces"] = "faces"
    inputs: tuple[StoredPath, ...]
    asked: dict[str, Any]
    picture: StoredPath
    most_width_px: int = 960
    most_pixels: int | None = None
    """Largest size of source and driving, where the server sets a limit."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are looked at, the one that errors name first."""
        return self.inputs


class MarksQuestion(BaseModel):
    """What do brush strokes paint on `video`? Answered by `preview`: a mask file below `folder`.

    The path is `folder` itself where no paint is left.
    """

    model_config = ConfigDict(frozen=True)
    type: Literal["marks"] = "marks"
    video: StoredPath
    strokes: str
    size: tuple[int, int]
    follow: bool
    folder: StoredPath

    @property
    def files(self) -> tuple[Path, ...]:
        """The file that is painted on."""
        return (self.video,)


class MaskQuestion(BaseModel):
    """Can `mask` be used for `video` with these settings? Answered by `preview`: the file `place`, which is empty."""

    model_config = ConfigDict(frozen=True)
    type: Literal["mask"] = "mask"
    video: StoredPath
    mask: StoredPath
    asked: dict[str, Any]
    place: StoredPath

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are looked at, the one that errors name first."""
        return (self.mask, self.video)


Asked = PlanQuestion | StillQuestion | ThumbnailQuestion | FacesQuestion | MarksQuestion | MaskQuestion
_QUESTION: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="type")])


def answer(question: Asked) -> Event:
    """Answer `question`; with `failed` where an error prevents it."""
    try:
        match question:
            case PlanQuestion():
                return _plan(question)
            case StillQuestion():
                return _still(question)
            case ThumbnailQuestion():
                return _thumbnail(question)
            case FacesQuestion():
                return _faces(question)
            case MarksQuestion():
                return _marks(question)
            case MaskQuestion():
                return _mask(question)
    except LongtakeError as error:
        return events.Failed.of("", error)


def _plan(question: PlanQuestion) -> Event:
    from pipelines.runtime.planning import estimate  # imported here because it loads the decoders

    settings = read_settings(question.task, question.asked)
    return estimate(question.task, question.inputs, settings, question.jobs_dir)


def _still(question: StillQuestion) -> Event:
    from pipelines.storage.jpeg import save_picture
    from pipelines.video.probe import probe
    from pipelines.video.reader import read_frames

    video, frame = probe(question.path, salvage=True), question.frame
    check_pixels(video.width, video.height, question.most_pixels)
    if frame >= video.frames:
        raise BadInput(
            f"There is no frame {frame}: the video has {video.frames}.",
            "Frames count from 0.",
            "frame.none",
            frame=frame,
            frames=video.frames,
        )
    with closing(read_frames(video, frame, frame + 1, salvage=True)) as frames:
        picture = save_picture(next(frames).rgb(), question.picture, most_width_px=question.most_width_px)
    return events.Preview(job="", frame=frame, path=picture)


def _thumbnail(question: ThumbnailQuestion) -> Event:
    from pipelines.storage.jpeg import save_picture
    from pipelines.video.probe import probe
    from pipelines.video.reader import read_frames

    first = probe(question.inputs[0], salvage=True)
    check_pixels(first.width, first.height, question.most_pixels)
    frame = min(int(question.start * first.frame_rate), first.frames - 1)
    with closing(read_frames(first, frame, frame + 1, salvage=True)) as frames:
        pixels = next(frames).rgb()
    # The others are probed only where the first is a picture.
    videos = chain([first], (probe(path, salvage=True) for path in question.inputs[1:]))
    moving = next((video for video in videos if video.frames > 1), None)
    seconds = {"seconds": moving.seconds if moving else None}
    write_bytes(question.picture.with_suffix(".json"), json.dumps(seconds).encode())
    picture = save_picture(pixels, question.picture, most_width_px=question.most_width_px)
    return events.Preview(job="", frame=frame, path=picture)


def _faces(question: FacesQuestion) -> Event:
    from pipelines.animation.faces.preview import marked_faces, marked_source
    from pipelines.storage.jpeg import save_picture

    settings = AnimateSettings.model_validate(question.asked)
    inputs, most_pixels = question.inputs, question.most_pixels
    if len(inputs) > 1:
        marked = marked_faces(inputs, settings, most_pixels)
    else:
        marked = marked_source(inputs[0], settings, most_pixels)
    found = {
        "places": [asdict(place) for place in marked.places],
        "missing": [asdict(side) for side in marked.missing],
    }
    write_bytes(question.picture.with_suffix(".json"), json.dumps(found).encode())
    picture = save_picture(marked.pixels, question.picture, most_width_px=question.most_width_px)
    return events.Preview(job="", frame=0, path=picture)


def _marks(question: MarksQuestion) -> Event:
    from pipelines.masks.strokes import painted, read_strokes, save_marks

    marks = painted(read_strokes(question.strokes), question.size)
    path = save_marks(marks, question.folder, follow=question.follow)
    return events.Preview(job="", frame=0, path=path or question.folder)


def _mask(question: MaskQuestion) -> Event:
    from pipelines.masks.sequence import open_masks, reject_unusable
    from pipelines.runtime.planning import range_of
    from pipelines.video.probe import probe

    settings = MaskSettings.model_validate(question.asked)
    video = probe(question.video, salvage=True)
    frames = range_of(video, settings)
    masks = open_masks(question.mask, video, frames=frames, invert=settings.invert, scale=settings.scale_mask)
    reject_unusable(masks, frames)
    question.place.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(question.place, b"")
    return events.Preview(job="", frame=0, path=question.place)


if __name__ == "__main__":
    reply = answer(_QUESTION.validate_json(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(to_json(reply) + b"\n")
