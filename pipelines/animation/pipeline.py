"""The task `animate`: finds faces, makes frames, and joins one file with sound and exact times."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pipelines.animation.engine import PortraitEngine
from pipelines.animation.inputs import InputMedia, PortraitInputs, is_transparent, probe_portrait_inputs
from pipelines.animation.side_by_side import row_sizes, stacked
from pipelines.animation.stage import PICTURE_SUFFIX, PortraitStage, as_png, moments_of, read_moment
from pipelines.errors import Sentence
from pipelines.jobs.events import Outputs
from pipelines.settings import VIDEO_SUFFIXES, AnimateSettings
from pipelines.spans import Span
from pipelines.stages import RunContext, Stage, TaskPipeline, Warn
from pipelines.storage.atomic import atomic_write, write_bytes
from pipelines.storage.frame_export import frame_folder
from pipelines.storage.optional import optional
from pipelines.storage.report import write_report
from pipelines.video.encoding.depth_notes import depth_notes
from pipelines.video.encoding.encodings import check_available, encoding
from pipelines.video.info import VideoInfo, video_facts
from pipelines.video.join import JoinReport, foreseen_warnings, join_segments
from pipelines.vision.types import Size

_VIDEO_PIXEL_BYTES = 0.1
"""File bytes per pixel of segments and joined video together, at the presets' CRF."""
_PNG_PIXEL_BYTES = 2
"""Bytes per pixel of an exported PNG frame: an estimate of what compression leaves of three."""


class AnimatePipeline(TaskPipeline[PortraitEngine]):
    """Animates one portrait by one driving video, with any portrait engine."""

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
        """Probe source and driving and make the engine for them. Raises the errors of `probe_portrait_inputs`."""
        probed = probe_portrait_inputs(inputs, salvage=settings.salvage, background=settings.background)
        return cls(inputs, engine(probed, settings))

    def frames(self, asked: Span) -> Span:
        """Return the frames that source and driving both have. Raises BadInput if that is none."""
        return self.engine.inputs.frames(asked)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The engine's prepasses, then the frames."""
        return (*self.engine.prepasses, self._stage)

    def check(self, run: RunContext) -> None:
        """Check that the encoder works and the export folder is free, and run the engine's checks.

        Raises BadInput, and what the engine raises.
        """
        if not self.engine.inputs.makes_a_picture:
            check_available(self.engine.codec)
        self.engine.check(run)
        if folder := frame_folder(run):
            folder.claim()

    def notices(self, run: RunContext) -> tuple[str, ...]:
        """Return what the result cannot keep of the sources, and how its sound will differ."""
        inputs = self.engine.inputs
        transparency = self._transparency_warning()
        first = (transparency,) if transparency else ()
        if inputs.makes_a_picture:
            return first
        sound, reason = _audio_source(inputs, self.engine.settings.audio)
        heard = sound.video if sound else None
        foreseen = foreseen_warnings(run.video, self._result(run), heard=heard, silent=sound is None)
        return (*first, *self._lost_depth(), *((reason,) if reason else ()), *foreseen)

    def disk_bytes(self, frames: Span) -> int:
        """Estimate segments, joined video and pictures from the size of the result."""
        pictures = _PNG_PIXEL_BYTES if self.engine.settings.frames_out else 0
        panels = 3 if self.engine.settings.side_by_side else 1
        width, height = self.engine.size
        return int((_VIDEO_PIXEL_BYTES + pictures) * panels * width * height * len(frames))

    def other_sizes(self) -> tuple[Size, ...]:
        """Return the sizes of source and driving; a template has none."""
        inputs = self.engine.inputs
        media = [each for each in (inputs.source, inputs.driving) if each.kind != "template"]
        return tuple((each.video.width, each.video.height) for each in media)

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """Write the video or the one picture, the report and its picture. Holds one span's figures."""
        warnings: list[str] = []

        def warn_and_record(code: str, sentence: str) -> None:
            warnings.append(sentence)
            warn(code, sentence)

        inputs, result = self.engine.inputs, self._result(run)
        joined = self._join_result(run, segments, result, warn_and_record)
        if transparency := self._transparency_warning():
            warn_and_record("transparency", transparency)
        additions = self.engine.report(run, warn_and_record)
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
                "size": list(self._padded_size()),
                "frames": len(run.frames),
                "audio_packets": joined.audio_packets if joined else 0,
                "warnings": warnings,
                "summary": {"frames": len(run.frames), **additions},
            },
        )
        with optional("picture of the report", warn):
            write_bytes(picture, as_png(stacked([read_moment(run, index) for index in moments_of(run)])))
        return Outputs(
            result=result,
            report=report,
            picture=picture if picture.exists() else None,
            **self.engine.products(run),
        )

    def _result(self, run: RunContext) -> Path:
        return run.folder / f"result{self._stage.suffix}"

    def _join_result(
        self, run: RunContext, segments: list[Path], result: Path, warn: Warn
    ) -> JoinReport | None:
        """Make the result. Returns None for a picture, which has neither times nor sound."""
        inputs = self.engine.inputs
        with atomic_write(result) as part:
            if inputs.makes_a_picture:
                shutil.copyfile(segments[0], part)
                return None
            sound, reason = _audio_source(inputs, self.engine.settings.audio)
            if reason:
                warn("sound", reason)
            joined = join_segments(
                segments,
                run.video,
                run.frames,
                part,
                heard=sound.video if sound else None,
                silent=sound is None,
                shown=self._shown(),
            )
        for sentence in joined.warnings:
            warn("sound", sentence)
        return joined

    def _shown(self) -> VideoInfo:
        """Describe what the frames of the result show; its transparency is told apart from other losses."""
        inputs, size = self.engine.inputs, self.engine.size
        if self.engine.settings.side_by_side:
            pixels = () if inputs.driving.kind == "template" else (inputs.driving.video,)
            row = row_sizes([size, *((video.width, video.height) for video in pixels), size], size[1])
            size = sum(width for width, _ in row), row[0][1]
        return replace(inputs.source.video, width=size[0], height=size[1], transparent=False)

    def _padded_size(self) -> Size:
        """Return width and height of the result as it is encoded."""
        shown = self._shown()
        if self.engine.inputs.makes_a_picture or not encoding(self.engine.codec, 0).even:
            return shown.width, shown.height
        return shown.width + shown.width % 2, shown.height + shown.height % 2

    def _lost_depth(self) -> tuple[str, ...]:
        """Say what the result loses of the depth of a source video."""
        source = self.engine.inputs.source
        if self.engine.fills_frames:
            return depth_notes(source.video, self.engine.codec)
        if source.kind != "video" or not (source.video.deep or source.video.hdr):
            return ()
        return (
            "The result is SDR with 8 bits: videos side by side, and faces alone, have no more. Use neither to keep "
            "the depth of the source.",
        )

    def _transparency_warning(self) -> str | None:
        """Say what became of the portrait's transparent parts; None where it has none."""
        if not is_transparent(self.engine.inputs.source):
            return None
        if self.engine.keeps_transparency:
            return Sentence(
                "The portrait's transparent parts are transparent in the result.", "transparency_kept"
            )
        behind = self.engine.settings.background
        return Sentence(
            f"The portrait's transparent parts are {behind} in the result. Choose another colour with --background, or "
            "keep them transparent with the built-in engine and --codec prores4444 or vp9.",
            "transparency_filled",
            colour=behind,
        )


def _audio_source(inputs: PortraitInputs, audio: str) -> tuple[InputMedia | None, str]:
    """Return the input whose sound the result gets, and a warning; None for `none` and for an input without sound."""
    if audio == "none":
        return None, ""
    chosen, other = (inputs.driving, inputs.source) if audio == "driving" else (inputs.source, inputs.driving)
    if not chosen.sounds:
        if other.sounds:
            name, key = ("source", "driving_silent") if audio == "driving" else ("driving", "source_silent")
            return None, Sentence(
                f"The {audio} has no sound. Use `--audio {name}` for the sound of the {name}.",
                key,
            )
        return None, ""
    rates = chosen.video.frame_rate, inputs.moving.video.frame_rate
    if rates[0] != rates[1]:
        return chosen, (
            Sentence(
                f"The driving video has {float(rates[0]):.6g} frames per second, the source {float(rates[1]):.6g}. "
                "Frames are matched one to one, so the sound of the driving video will be out of sync. "
                "Use `--audio source` or `--audio none` instead.",
                "out_of_sync",
                driving_rate=f"{float(rates[0]):.6g}",
                source_rate=f"{float(rates[1]):.6g}",
            )
        )
    return chosen, ""


def _facts(media: InputMedia) -> dict[str, Any]:
    return {"kind": media.kind, **video_facts(media.video)}
