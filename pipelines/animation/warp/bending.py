"""The task with the built-in engine: a picture bent after a driving video."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from memory.budget import Budget
from memory.plan import Cost, Load
from pipelines.animation.animating import Animated, Size
from pipelines.animation.beside import row_sizes
from pipelines.animation.faces.crop import limited_size
from pipelines.animation.faces.face_boxes import FaceBox, glance
from pipelines.animation.faces.face_looks import FaceLooks, Glance, read_looks
from pipelines.animation.faces.face_track import LOOK_EVERY, FaceTrack, follow
from pipelines.animation.faces.faces import (
    GivenFace,
    Provider,
    VotedFaces,
    Which,
    absence,
    faces_on,
    find_reference,
)
from pipelines.animation.filming import read_figures
from pipelines.animation.pipeline import AnimatePipeline, Warn
from pipelines.animation.roles import Roles, read_picture, read_pixels, roles_of, settings_of
from pipelines.animation.warp.asked import Asked
from pipelines.animation.warp.flowwarp import FlowWarp
from pipelines.errors import BadInput
from pipelines.nets.published import PUBLISHED
from pipelines.settings import AnimateSettings, Settings
from pipelines.stages import Assignment, Pixels, Stage
from pipelines.video.info import VideoInfo
from pipelines.video.reader import choose_decoder, held_bytes
from presets.choose import Choice
from presets.tiers import own_tiers

_MIB = 2**20
_PROCESS_BYTES = 175 * _MIB
_FILM_PIXEL_BYTES = 150
"""What the encoder and what bends the portrait hold a pixel of the film: measured at 105 to 150."""
_MOST_LOOKED_AT = 64
"""Looks at the driving video until one shows a face."""
_READY_SIDE, _READY_DOWN = 0.54, 0.054
"""Of a face's box in a picture that was cut out as portraits usually are: its side, and how far below the middle."""
_INSTEAD = "or --engine liveportrait, which takes it"


@dataclass(frozen=True)
class _Prepared:
    """What is found on both, for all spans of a job. Holds the source twice and one driving frame."""

    source: Pixels
    boxes: list[FaceBox]
    reference: int
    first: Pixels
    box: FaceBox


class Bending:
    """The animator `flowwarp`. Holds what it found of the last job that it was asked for."""

    name = FlowWarp.name

    def __init__(self, quality: str) -> None:
        self._longest = own_tiers().animate.quality[quality].max_side_px
        self._looks = FaceLooks(self._glance)
        self._known: tuple[Path, _Prepared] | None = None

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Where the driving face is."""
        return (self._looks,)

    def check_roles(self, roles: Roles) -> None:
        """A picture and a video that moves. Raises BadInput."""
        if roles.source.kind != "picture":
            raise BadInput(
                "The built-in engine animates a picture, not a video.",
                f"Give a picture as the source, {_INSTEAD}.",
            )
        if roles.driving.kind == "template":
            raise BadInput(
                "The built-in engine cannot follow a motion template: it bends the portrait by what it sees.",
                f"Give the driving video itself, {_INSTEAD}.",
            )
        if not roles.driving.moves:
            raise BadInput(
                "The driving is a single picture: there is no motion that the built-in engine could follow.",
                f"Give a driving video, {_INSTEAD}.",
            )

    def check(self, job: Assignment) -> None:
        """A face on the source, and one on the driving. Raises BadInput."""
        self._prepared(job)

    def size(self, job: Assignment) -> Size:
        """The source's, up to what the quality allows."""
        return self.size_of(roles_of(job))

    def size_of(self, roles: Roles) -> Size:
        """The same of source and driving that no job has yet."""
        video = roles.source.video
        height, width = limited_size(video.height, video.width, self._longest)
        return width, height

    def frames(self, job: Assignment, start: int, stop: int) -> Generator[Animated]:
        """Frames `[start, stop)`: the source, bent. Holds some frames of each."""
        found, driving = self._prepared(job), roles_of(job).driving
        track = _track(job, found)
        warp = FlowWarp(found.source, found.boxes, found.first, track)
        read = _Passing(partial(read_pixels, job, driving))
        with closing(warp.frames(read, job.frames, start, stop)) as bent:
            for index, frame in enumerate(bent, start):
                figures = frame.asked.shift, frame.asked.degrees, frame.seen
                yield Animated(index, found.source, read.last, frame.pixels, figures)

    def _glance(self, job: Assignment) -> Glance:
        """Looks for faces about as large as the driving's is on the reference."""
        return partial(glance, size=self._prepared(job).box.size)

    def told(self, job: Assignment, warn: Warn) -> dict[str, Any]:
        """Faces, how much motion was asked for, and where there was none to follow."""
        found = self._prepared(job)
        track = _track(job, found)
        asked, rested = Asked(), 0
        for figures in read_figures(job):
            shift, degrees, _ = figures.max(axis=0).tolist()
            asked = asked.merged(Asked(shift, degrees))
            rested += int(np.count_nonzero(figures[:, 2] == 0))
        warn("preview", _preview())
        told = ("size", self._made_smaller(job)), ("motion", asked.warning()), ("face", absence(track))
        for code, sentence in told:
            if sentence:
                warn(code, sentence)
        return {
            "preview": True,
            "faces_by": _driving_faces(job).name,
            "faces": len(found.boxes),
            "reference_frame": found.reference,
            "frames_at_rest": rested,
            "gone": [[span.start, span.stop] for span in track.gone],
            "most_shift_eye_distances": round(asked.shift, 3),
            "most_turn_degrees": round(asked.degrees, 1),
        }

    def _made_smaller(self, job: Assignment) -> str | None:
        video, (width, height) = roles_of(job).source.video, self.size(job)
        if (width, height) == (video.width, video.height):
            return None
        return (
            f"The portrait of {video.width} x {video.height} pixels was made smaller, to {width} x {height}: that is "
            "the most of this quality. A higher --quality keeps more."
        )

    def _prepared(self, job: Assignment) -> _Prepared:
        if self._known is None or self._known[0] != job.folder:
            self._known = job.folder, self._found(job)
        return self._known[1]

    def _found(self, job: Assignment) -> _Prepared:
        settings, roles = settings_of(job), roles_of(job)
        picture, size = read_picture(roles.source), self.size(job)
        boxes = faces_on(picture, source_faces(settings, picture), which_of(settings.face), "--source-box")
        if size != picture.shape[1::-1]:
            share = size[0] / picture.shape[1]
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
            boxes = [FaceBox(b.x * share, b.y * share, b.size * share, b.votes) for b in boxes]
        reference, box = find_reference(
            _looked_at(job), _driving_faces(job), which_of(settings.driving_face), "--driving-box"
        )
        with closing(read_pixels(job, roles.driving, reference, reference + 1)) as frames:
            first = next(frames)
        return _Prepared(picture, boxes, reference, first, box)


class BendPipeline(AnimatePipeline):
    """The task with the built-in engine."""

    def __init__(self, settings: AnimateSettings) -> None:
        self._bending = Bending(settings.quality)
        super().__init__(settings, self._bending)

    def fit(
        self, video: VideoInfo, settings: Settings, choice: Choice, budget: Budget, device: str
    ) -> tuple[Choice, Cost]:
        """The size of the result is the source's, whatever the driving's."""
        width, height = self._bending.size_of(self.roles)
        values = {**choice.values, "work_width": width, "work_height": height}
        return replace(choice, values=values), self.cost(video, settings)

    def cost(self, video: VideoInfo, settings: Settings) -> Cost:
        """The driving's decoder; the source, what bends it, and the encoder of its size."""
        decoder = choose_decoder(video, luma_only=True) if settings.decoder == "auto" else settings.decoder
        width, height = self._bending.size_of(self.roles)
        if self._settings.side_by_side:
            row = row_sizes([(width, height), (video.width, video.height), (width, height)], height)
            width, height = sum(size[0] for size in row), row[0][1]
        film = width * height * _FILM_PIXEL_BYTES
        per_pixel = held_bytes(video, decoder) / (video.width * video.height)
        return Cost(host=Load(fixed=_PROCESS_BYTES + film, per_pixel=per_pixel, per_window_pixel=3))


class _Passing:
    """A reader that remembers the frame it has just given."""

    def __init__(self, read: Any) -> None:
        self._read = read
        self.last: Pixels | None = None

    def __call__(self, start: int, stop: int) -> Generator[Pixels]:
        with closing(self._read(start, stop)) as frames:
            for frame in frames:
                self.last = frame
                yield frame


def _track(job: Assignment, found: _Prepared) -> FaceTrack:
    return follow(read_looks(job), job.frames, found.box, found.reference)


def _looked_at(job: Assignment) -> Generator[tuple[int, Pixels]]:
    """The first frames that are looked at; with a box that is given the first alone, for which it is meant."""
    looks = 1 if settings_of(job).driving_box else _MOST_LOOKED_AT
    frames, driving = job.frames, roles_of(job).driving
    stop = min(frames.stop, frames.start + (looks - 1) * LOOK_EVERY + 1)
    with closing(read_pixels(job, driving, frames.start, stop)) as pixels:
        for index, frame in enumerate(pixels, frames.start):
            if (index - frames.start) % LOOK_EVERY == 0:
                yield index, frame


def _driving_faces(job: Assignment) -> Provider:
    box = settings_of(job).driving_box
    return GivenFace(drawn_box(box)) if box else VotedFaces()


def source_faces(settings: AnimateSettings, picture: Pixels) -> Provider:
    """What finds the faces of the source `picture` `(H, W, 3)` uint8 RGB: a box, the picture as a whole, or votes."""
    if settings.source_box:
        return GivenFace(drawn_box(settings.source_box))
    if settings.source_crop == "none":
        height, width = picture.shape[:2]
        side = min(height, width)
        return GivenFace(FaceBox(width / 2, height / 2 + _READY_DOWN * side, _READY_SIDE * side))
    return VotedFaces()


def drawn_box(box: str) -> FaceBox:
    """The face that a box means which is written as `x,y,width,height`."""
    return FaceBox.drawn(*map(float, box.split(",")))


def which_of(word: str) -> Which:
    """Which of several faces a setting means."""
    if word in ("largest", "all"):
        return "all" if word == "all" else "largest"
    return int(word)


def _preview() -> str:
    network = PUBLISHED["liveportrait"]
    return (
        "This is a preview by the built-in engine, which bends the portrait: heads do not turn, and nothing new comes "
        f"into sight. {network.title} draws each frame anew: it needs weights of {network.about_bytes / 1e6:.0f} MB "
        f"(`python -m pipelines weights {network.model} --fetch`), and a card to be quick."
    )
