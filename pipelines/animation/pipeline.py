"""Animating a portrait: looks at faces, then frames of the result, then one file with sound and exact times."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.animation.engine import PortraitEngine
from pipelines.animation.inputs import (
    InputMedia,
    PortraitInputs,
    inputs_of,
    probe_portrait_inputs,
    settings_of,
)
from pipelines.animation.side_by_side import stacked
from pipelines.animation.stage import PICTURE_SUFFIX, FilmStage, as_png, moments_of, read_moment
from pipelines.jobs.events import Outputs
from pipelines.settings import VIDEO_SUFFIXES, AnimateSettings, Settings
from pipelines.spans import Span
from pipelines.stages import FrameByFrame, RunContext, Stage
from pipelines.storage.atomic import atomic_write, write_bytes
from pipelines.storage.frame_export import frame_folder
from pipelines.storage.report import write_report
from pipelines.video.encodings import check_available
from pipelines.video.info import VideoInfo, video_facts
from pipelines.video.join import JoinReport, join_segments

Warn = Callable[[str, str], None]

_FILM_PIXEL_BYTES = 0.1
"""Of segments and film together, at the rate factors of the presets."""
_PNG_PIXEL_BYTES = 2


class AnimatePipeline(FrameByFrame):
    """The task `animate`, whatever makes its frames."""

    task = "animate"

    def __init__(self, settings: AnimateSettings, animator: PortraitEngine) -> None:
        self.engine = animator.name
        self._settings = settings
        self._animator = animator
        self._film = FilmStage(animator, VIDEO_SUFFIXES[settings.codec])
        self._roles: PortraitInputs | None = None

    @property
    def roles(self) -> PortraitInputs:
        """Source and driving; known once `probe_inputs` has looked at them."""
        if self._roles is None:
            raise ValueError("source and driving are looked at first")
        return self._roles

    def probe_inputs(self, inputs: tuple[Path, ...], settings: Settings) -> VideoInfo:
        """The source where it moves, otherwise the driving.

        Raises as `probe_portrait_inputs`, BadInput for what cannot be taken.
        """
        self._roles = probe_portrait_inputs(inputs, salvage=settings.salvage)
        self._animator.check_roles(self._roles)
        if self._roles.makes_a_picture:
            self._film.suffix = PICTURE_SUFFIX
        return self._roles.footage

    def frames(self, inputs: tuple[Path, ...], video: VideoInfo, asked: Span) -> Span:
        """Those that source and driving both have. Raises BadInput for none."""
        return self.roles.frames(asked)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What the engine looks at first; then the frames."""
        return (*self._animator.prepasses, self._film)

    def check(self, run: RunContext) -> None:
        """An encoder that answers, faces, a folder that is free. Raises BadInput, and what the engine raises."""
        check_available(settings_of(run).codec)
        self._animator.check(run)
        if folder := frame_folder(run):
            folder.claim()

    def disk_bytes(self, video: VideoInfo, frames: Span) -> int:
        """Segments and film by the size of the source, and pictures."""
        pictures = _PNG_PIXEL_BYTES if self._settings.frames_out else 0
        beside = 3 if self._settings.side_by_side else 1
        return int((_FILM_PIXEL_BYTES + pictures) * beside * self.roles.source.pixels * len(frames))

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """The film, or the one picture; the report and its picture. Holds one span's figures."""
        said: list[str] = []

        def tell(code: str, sentence: str) -> None:
            said.append(sentence)
            warn(code, sentence)

        roles, result = inputs_of(run), run.folder / f"result{self._film.suffix}"
        joined = self._joined(run, roles, segments, result, tell)
        told = self._animator.told(run, tell)
        report, picture = run.folder / "report.json", run.folder / "report.png"
        write_report(
            report,
            {
                "task": self.task,
                "engine": self.engine,
                "video": video_facts(run.video),
                "source": _facts(roles.source),
                "driving": _facts(roles.driving),
                "settings": run.settings.identity(),
                "size": list(self._animator.size(run)),
                "frames": len(run.frames),
                "audio_packets": joined.audio_packets if joined else 0,
                "warnings": said,
                "summary": {"frames": len(run.frames), **told},
            },
        )
        write_bytes(picture, as_png(stacked([read_moment(run, index) for index in moments_of(run)])))
        return Outputs(result=result, report=report, picture=picture)

    def _joined(
        self, run: RunContext, roles: PortraitInputs, segments: list[Path], result: Path, tell: Warn
    ) -> JoinReport | None:
        """Make the result. A picture has neither times nor sound."""
        with atomic_write(result) as part:
            if roles.makes_a_picture:
                shutil.copyfile(segments[0], part)
                return None
            sound = _heard(roles, self._settings.audio, tell)
            joined = join_segments(
                segments,
                run.video,
                run.frames,
                part,
                heard=sound.video if sound else None,
                silent=sound is None,
            )
        for sentence in joined.warnings:
            tell("sound", sentence)
        return joined


def _heard(roles: PortraitInputs, audio: str, tell: Warn) -> InputMedia | None:
    """Whose sound the result has; None where it has none, or the one that was asked for has none."""
    if audio == "none":
        return None
    chosen, other = (roles.driving, roles.source) if audio == "driving" else (roles.source, roles.driving)
    if not chosen.sounds:
        if other.sounds:
            name = "source" if audio == "driving" else "driving"
            tell("sound", f"The {audio} has no sound. `--audio {name}` takes that of the {name}.")
        return None
    rates = chosen.video.frame_rate, roles.moving.video.frame_rate
    if rates[0] != rates[1]:
        tell(
            "sound",
            f"The driving has {float(rates[0]):.6g} frames a second, the source {float(rates[1]):.6g}: frame follows "
            "frame, so the sound of the driving does not fit. `--audio source` or `none` leaves it out.",
        )
    return chosen


def _facts(given: InputMedia) -> dict[str, Any]:
    return {"kind": given.kind, **video_facts(given.video)}
