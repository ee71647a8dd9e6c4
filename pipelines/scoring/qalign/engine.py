"""Scoring with Q-Align: window scores from the published network, everything else from the built-in analysis.

Each frame is decoded once for both. The network's features of one frame per second are saved, from which the whole
video is scored at the end.
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
from memory.compute import is_on_host
from memory.ladder import Rung, standard_rungs
from memory.plan import Cost, Load
from pipelines.nets.qalign.config import Place, read_config
from pipelines.scoring.builtin.engine import analysis_load, single_threaded_opencv
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
from pipelines.video.decoders.prefetch import read_ahead
from pipelines.video.info import VideoInfo
from pipelines.video.reader import read_frames
from pipelines.vision.types import Pixels
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import find
from presets.choose import Choice

_BATCH_ON_GPU, _BATCH_ON_CPU = 32, 4
"""Default batch of windows. A CPU gains nothing from larger ones, which would only delay progress and cancelling."""


class Judged(NamedTuple):
    """A rated frame, its features if it is a sample of the whole video, and the video's width and height."""

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
    """The engine `qalign`: window scores from the published network, everything else as in the built-in engine."""

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
        """Decide where the network's layers are kept. That changes no score, so each start may decide differently."""
        video, settings = self.video, self.settings
        samples = len(self._samples(Span(0, video.frames)))
        pixels = video.width * video.height
        need = Need(self._config, settings, self._base(), pixels, samples)
        layout = need.settled(budget, device)
        most = settings.batch_size or (_BATCH_ON_CPU if is_on_host(device) else _BATCH_ON_GPU)
        values = {
            **choice.values,
            "layers_place": layout.place,
            "batch_frames": most,
            "gigaflops": need.gigaflops,
        }
        reason = f"{choice.reason[:-1]}. {need.remark(layout)}."
        return replace(choice, values=values, reason=reason), need.cost(layout)

    def batches(self, choice: Choice) -> Sequence[int]:
        """Return the requested or default batch size, and its halvings."""
        most = choice.number("batch_frames")
        return [most >> halved for halved in range(most.bit_length())]

    def rungs(self, *, prepass: bool) -> tuple[Rung, ...]:
        """Return smaller batches; their scores differ only by rounding."""
        return standard_rungs()

    def check(self, run: RunContext) -> None:
        """Check names and shapes of all weights. Raises WeightsMissing, WeightsBroken."""
        from pipelines.nets.qalign.model import inspect

        inspect(self._files)

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Judged]:
        """Score frames `[start, stop)`; also reads the frame before and the windows' halo. Holds a batch of windows."""
        video, settings, ahead = run.video, run.settings, run.plan.window_frames
        scorer, samples = self._scorer(run), frozenset(self._samples(run.frames))
        span = Span(start, stop)
        encoded = reach(span, run.frames, self.window)
        first = max(run.frames.start, min(encoded.start, start - 1))
        frames = read_frames(
            video, first, encoded.stop, decoder=settings.decoder, salvage=settings.salvage, luma_only=True
        )
        ready = read_ahead(
            prepared(frames, scorer.side, analysis_width(run), span, encoded, run.frames), ahead
        )
        with (
            single_threaded_opencv(),
            closing(rated(ready, scorer, span, run.frames, self.window, run.plan.batch_frames)) as items,
        ):
            for item in items:
                sample = scorer.to_host(item.features) if item.frame.index in samples else None
                yield Judged(item, sample, (video.width, video.height))

    def halo(self, run: RunContext) -> int:
        """Return the frames that are encoded beside a stretch, for the windows at its ends."""
        return self.window - 1

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open a writer for the span's records, scores and samples."""
        return RowSink(path, _packed, row=_kept)

    def preview(self, item: Judged) -> Pixels:
        """Return the frame at the size at which the network sees it."""
        return without_fill(item.rated.frame.square, *item.size)

    def value(self, item: Judged) -> float:
        """Return the window score."""
        return item.rated.score

    def disk_bytes(self, frames: Span) -> int:
        """Estimate the size of the samples' features."""
        return 4 * len(self._samples(frames)) * self._config.frame_numbers

    @property
    def window(self) -> int:
        """Frames that one window score covers: 1 where pictures are rated."""
        return window_of(self.settings)

    def movement(self, segments: list[Path]) -> float:
        """Compute the published measure on the first frames, at full size."""
        changes = chain.from_iterable(read_arrays(path, "change")[0].tolist() for path in segments)
        return mean_change(islice(changes, 1, MOVEMENT_FRAMES))

    def verdicts(self, segments: list[Path]) -> Iterator[Verdicts]:
        """Yield the built-in verdicts with the network's window scores."""
        scores = chain.from_iterable(read_arrays(path, "score")[0].tolist() for path in segments)
        records = (read_arrays(path, "record")[0] for path in segments)
        for block in verdicts(records, self.window, float(self.video.frame_rate)):
            block["window_score"] = list(islice(scores, len(block)))
            yield block

    def report(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """Score the whole video, if the score task is that of a video."""
        samples = self._samples(run.frames)
        if not samples:
            return {}
        segments = [run.folder / "segments" / f"{span.name}{self.suffix}" for span in run.spans]
        features = [sample for path in segments for sample in read_arrays(path, "samples")[0]]
        score = round(self._scorer(run).score_video(features), 6)
        return {"video_quality": {"score": score, "frames": samples}}

    def _samples(self, frames: Span) -> list[int]:
        """List the frames that are sampled to score the whole video; none if pictures are rated."""
        task = self.settings.score_task
        if task != "video_quality":
            return []
        indices = sampled(len(frames), self.video.frame_rate, most_samples(self._config, task))
        return [frames.start + index for index in indices]

    def _base(self) -> Load:
        """Return the built-in engine's load plus an RGB frame and its square."""
        video = self.video
        load = analysis_load(video, self.settings)
        squared = 3 * max(video.width, video.height) ** 2 / (video.width * video.height)
        return replace(load, per_pixel=load.per_pixel + 6 + squared)

    def _scorer(self, run: RunContext) -> NetworkScorer:
        """Return the network, loaded at first use; a pass that is reopened after an error reuses it."""
        if self._network is None:
            place = cast(Place, run.choice.values["layers_place"])
            layout = Layout(run.device, place, int(self.settings.weight_bits))
            self._network = NetworkScorer.load(self._files, self.settings.score_task, layout)
        return self._network
