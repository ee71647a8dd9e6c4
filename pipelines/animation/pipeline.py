"""Animating a portrait: looks at faces, then frames of the result, then one file with sound and exact times."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pipelines.animation.engine import PortraitEngine
from pipelines.animation.inputs import (
    InputMedia,
    PortraitInputs,
    probe_portrait_inputs,
)
from pipelines.animation.side_by_side import stacked
from pipelines.animation.stage import PICTURE_SUFFIX, PortraitStage, as_png, moments_of, read_moment
from pipelines.jobs.events import Outputs
from pipelines.settings import VIDEO_SUFFIXES, AnimateSettings
from pipelines.spans import Span
from pipelines.stages import RunContext, Stage, TaskPipeline, Warn
from pipelines.storage.atomic import atomic_write, write_bytes
from pipelines.storage.frame_export import frame_folder
from pipelines.storage.report import write_report
from pipelines.video.encodings import check_available
from pipelines.video.info import video_facts
from pipelines.video.join import JoinReport, join_segments

_FILM_PIXEL_BYTES = 0.1
"""Of segments and film together, at the rate factors of the presets."""
_PNG_PIXEL_BYTES = 2


class AnimatePipeline(TaskPipeline[PortraitEngine]):
    """Makes one portrait follow one driving, with whichever engine makes the frames."""

    task = "animate"

    def __init__(self, inputs: tuple[Path, ...], engine: PortraitEngine) -> None:
        super().__init__(inputs, engine)
        makes_a_picture = engine.inputs.makes_a_picture
        suffix = PICTURE_SUFFIX if makes_a_picture else VIDEO_SUFFIXES[engine.settings.codec]
        self._stage = PortraitStage(engine, suffix)

    @classmethod
    def open(
        cls,
        engine: Callable[[PortraitInputs, AnimateSettings], PortraitEngine],
        inputs: tuple[Path, ...],
        settings: AnimateSettings,
    ) -> Self:
        """Probe source and driving, and make the engine for them. Raises as `probe_portrait_inputs`, BadInput."""
        return cls(inputs, engine(probe_portrait_inputs(inputs, salvage=settings.salvage), settings))

    def frames(self, asked: Span) -> Span:
        """Those that source and driving both have. Raises BadInput for none."""
        return self.engine.inputs.frames(asked)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What the engine looks at first; then the frames."""
        return (*self.engine.prepasses, self._stage)

    def check(self, run: RunContext) -> None:
        """An encoder that answers, faces, a folder that is free. Raises BadInput, and what the engine raises."""
        check_available(self.engine.settings.codec)
        self.engine.check(run)
        if folder := frame_folder(run):
            folder.claim()

    def disk_bytes(self, frames: Span) -> int:
        """Segments and film by the size of the source, and pictures."""
        pictures = _PNG_PIXEL_BYTES if self.engine.settings.frames_out else 0
        beside = 3 if self.engine.settings.side_by_side else 1
        return int((_FILM_PIXEL_BYTES + pictures) * beside * self.engine.inputs.source.pixels * len(frames))

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """The film, or the one picture; the report and its picture. Holds one span's figures."""
        said: list[str] = []

        def tell(code: str, sentence: str) -> None:
            said.append(sentence)
            warn(code, sentence)

        inputs, result = self.engine.inputs, run.folder / f"result{self._stage.suffix}"
        joined = self._joined(run, segments, result, tell)
        told = self.engine.report(run, tell)
        report, picture = run.folder / "report.json", run.folder / "report.png"
        write_report(
            report,
            {
                "task": self.task,
                "engine": self.engine.name,
                "video": video_facts(run.video),
                "source": _facts(inputs.source),
                "driving": _facts(inputs.driving),
                "settings": run.settings.identity(),
                "size": list(self.engine.size),
                "frames": len(run.frames),
                "audio_packets": joined.audio_packets if joined else 0,
                "warnings": said,
                "summary": {"frames": len(run.frames), **told},
            },
        )
        write_bytes(picture, as_png(stacked([read_moment(run, index) for index in moments_of(run)])))
        return Outputs(result=result, report=report, picture=picture, **self.engine.products(run))

    def _joined(self, run: RunContext, segments: list[Path], result: Path, tell: Warn) -> JoinReport | None:
        """Make the result. A picture has neither times nor sound."""
        inputs = self.engine.inputs
        with atomic_write(result) as part:
            if inputs.makes_a_picture:
                shutil.copyfile(segments[0], part)
                return None
            sound = _heard(inputs, self.engine.settings.audio, tell)
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
