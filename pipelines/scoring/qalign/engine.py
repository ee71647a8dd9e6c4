"""Scoring with Q-Align: window scores from the published network, everything else from the built-in analysis.

A frame is decoded once for both. Of the network's features those of some frames are kept, one a second, so that the
whole video gets a score of its own at the end.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from memory.budget import Budget
from memory.ladder import Rung, standard_rungs
from memory.plan import Cost, Load
from pipelines.nets.qalign.config import Place, read_config
from pipelines.scoring.builtin.engine import analysis_load, one_thread_each
from pipelines.scoring.engine import ScoringEngine, analysis_width
from pipelines.scoring.metrics.frame_features import RECORD
from pipelines.scoring.metrics.smoothness import MOVEMENT_FRAMES, mean_change
from pipelines.scoring.metrics.verdicts import Verdicts, verdicts
from pipelines.scoring.qalign.memory_layout import Layout, Need, most_samples, window_of
from pipelines.scoring.qalign.preprocess import prepared, without_fill
from pipelines.scoring.qalign.scorer import NetworkScorer
from pipelines.scoring.qalign.windows import Rated, rated, reach, sampled
from pipelines.settings import ScoreSettings
from pipelines.spans import Span
from pipelines.stages import RunContext, Sink, Warn
from pipelines.storage.span_arrays import RowSink, read_arrays
from pipelines.video.info import VideoInfo
from pipelines.video.prefetch import read_ahead
from pipelines.video.reader import read_frames
from pipelines.vision.types import Pixels
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import find
from presets.choose import Choice

_BATCH_ON_CARD, _BATCH_ON_CPU = 32, 4
"""Windows at once, where nobody asks for a number: a CPU gains nothing from more, and would not answer for long."""


class Judged(NamedTuple):
    """A rated frame, its features where it is a sample, and the picture's width and height."""

    rated: Rated
    sample: NDArray[Any] | None
    size: tuple[int, int]


def _kept(item: Judged) -> tuple[Any, float, float, NDArray[Any] | None]:
    frame, _, score = item.rated
    return frame.record, score, frame.change, item.sample


def _packed(rows: list[tuple[Any, float, float, NDArray[Any] | None]]) -> dict[str, NDArray[Any]]:
    records, scores, changes, samples = zip(*rows, strict=True) if rows else ((), (), (), ())
    return {
        "record": np.concatenate([np.zeros(0, RECORD), *records]),
        "score": np.array(scores, np.float64),
        "change": np.array(changes, np.float64),
        "samples": np.array([sample for sample in samples if sample is not None]),
    }


class QAlignEngine(ScoringEngine):
    """The engine `qalign`: window scores by the published network, everything else as the built-in engine has it."""

    name, title = "qalign", PUBLISHED["qalign"].title
    network = True
    suffix = ".npz"

    def __init__(self, video: VideoInfo, settings: ScoreSettings) -> None:
        """Raises WeightsMissing, WeightsBroken."""
        super().__init__(video, settings)
        self._files = find("qalign", settings.weights)
        self._config = read_config(self._files)
        self._network: NetworkScorer | None = None

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """The place where the network's layers wait; it changes no score, so every start may choose anew."""
        video, settings = self.video, self.settings
        samples = len(self._samples(Span(0, video.frames)))
        pixels = video.width * video.height
        need = Need(self._config, settings, self._base(), pixels, samples)
        layout = need.settled(budget, device)
        most = settings.batch_size or (_BATCH_ON_CPU if device == "cpu" else _BATCH_ON_CARD)
        values = {
            **choice.values,
            "layers_place": layout.place,
            "batch_frames": most,
            "gigaflops": need.gigaflops,
        }
        reason = f"{choice.reason[:-1]}. {need.remark(layout)}."
        return replace(choice, values=values, reason=reason), need.cost(layout)

    def batches(self, choice: Choice) -> Sequence[int]:
        """As many windows as are asked for, or as suit the device; or fewer."""
        most = choice.number("batch_frames")
        return [most >> halved for halved in range(most.bit_length())]

    def rungs(self, *, prepass: bool) -> tuple[Rung, ...]:
        """Smaller batches, whose scores differ by rounding alone."""
        return standard_rungs()

    def check(self, run: RunContext) -> None:
        """Names and shapes of all weights, before the first frame. Raises WeightsMissing, WeightsBroken."""
        from pipelines.nets.qalign.model import inspect

        inspect(self._files)

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Judged]:
        """Frames `[start, stop)`; reads the frame before and the windows' halo. Holds a batch of windows."""
        video, settings, ahead = run.video, run.settings, run.plan.window_frames
        scorer, samples = self._scorer(run), frozenset(self._samples(run.frames))
        asked = Span(start, stop)
        shown = reach(asked, run.frames, self.window)
        first = max(run.frames.start, min(shown.start, start - 1))
        frames = read_frames(
            video, first, shown.stop, decoder=settings.decoder, salvage=settings.salvage, luma_only=True
        )
        ready = read_ahead(
            prepared(frames, scorer.side, analysis_width(run), asked, shown, run.frames), ahead
        )
        with (
            one_thread_each(),
            closing(rated(ready, scorer, asked, run.frames, self.window, run.plan.batch_frames)) as found,
        ):
            for each in found:
                sample = scorer.kept(each.features) if each.frame.index in samples else None
                yield Judged(each, sample, (video.width, video.height))

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A writer of the span's records, scores and samples."""
        return RowSink(path, _packed, row=_kept)

    def preview(self, item: Judged) -> Pixels:
        """The frame, as small as the network sees it."""
        return without_fill(item.rated.frame.square, *item.size)

    def value(self, item: Judged) -> float:
        """The window's score."""
        return item.rated.score

    def disk_bytes(self, frames: Span) -> int:
        """The samples' features."""
        return 4 * len(self._samples(frames)) * self._config.frame_numbers

    @property
    def window(self) -> int:
        """Frames of a window score: pictures are rated one by one."""
        return window_of(self.settings)

    def movement(self, segments: list[Path]) -> float:
        """The published measure, of the first frames at their full size."""
        changes = chain.from_iterable(read_arrays(path, "change")[0].tolist() for path in segments)
        return mean_change(islice(changes, 1, MOVEMENT_FRAMES))

    def verdicts(self, segments: list[Path]) -> Iterator[Verdicts]:
        """The built-in verdicts, with the network's window scores."""
        scores = chain.from_iterable(read_arrays(path, "score")[0].tolist() for path in segments)
        for block in verdicts((read_arrays(path, "record")[0] for path in segments), self.window):
            block["window_score"] = list(islice(scores, len(block)))
            yield block

    def report(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """A score of the whole video, where that is what is rated."""
        samples = self._samples(run.frames)
        if not samples:
            return {}
        segments = [run.folder / "segments" / f"{span.name}{self.suffix}" for span in run.spans]
        features = [each for path in segments for each in read_arrays(path, "samples")[0]]
        score = round(self._scorer(run).score_video(features), 6)
        return {"video_quality": {"score": score, "frames": samples}}

    def _samples(self, frames: Span) -> list[int]:
        """The frames that stand for the whole video; none where pictures are rated."""
        task = self.settings.score_task
        if task != "video_quality":
            return []
        indices = sampled(len(frames), self.video.frame_rate, most_samples(self._config, task))
        return [frames.start + index for index in indices]

    def _base(self) -> Load:
        """The built-in engine's load, and a frame in colours, made square."""
        video = self.video
        load = analysis_load(video, self.settings)
        squared = 3 * max(video.width, video.height) ** 2 / (video.width * video.height)
        return replace(load, per_pixel=load.per_pixel + 6 + squared)

    def _scorer(self, run: RunContext) -> NetworkScorer:
        """The network, loaded when it is first needed; a chain that is opened again finds it there."""
        if self._network is None:
            place = cast(Place, run.choice.values["layers_place"])
            layout = Layout(run.device, place, int(self.settings.weight_bits))
            self._network = NetworkScorer.load(self._files, self.settings.score_task, layout)
        return self._network
