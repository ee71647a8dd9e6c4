"""Following by SAM 2 as prepasses of a job: back from the first hint, then a mask for each frame.

Like the built-in walks, the one back counts its frames from the last, so that it advances in the order in which spans
are computed. The network is held while a stage computes, and let go after it.
"""

import zlib
from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory.probe import probe_hardware
from pipelines.errors import BadInput, LongtakeError
from pipelines.masks.mask_video import FOLDER, SUFFIX, read_tracked
from pipelines.masks.reading import mask_settings_of, read_pixels
from pipelines.settings import MaskSettings
from pipelines.spans import Span
from pipelines.stages import OneFile, RunContext, Sink
from pipelines.storage.span_arrays import RowSink, read_arrays
from pipelines.tracking.fusion import Tracked
from pipelines.tracking.job_prompts import read_prompts
from pipelines.tracking.prompts import ObjectPrompt
from pipelines.tracking.sam2_model import Segmenter, find_segmenter, found, load_segmenter
from pipelines.tracking.sam2_passes import reversed_frames, track_pass
from pipelines.tracking.stages import MaskVideoStage, mirrored
from pipelines.vision.types import Mask, Pixels

_NONE = np.zeros((0, 0), np.bool_)


class Sam2BackwardStage(OneFile):
    """The masks of the frames before the first hint, packed: a few hundred bytes each."""

    name = "look back"
    folder = "state/back"
    suffix = ".npz"

    def __init__(self) -> None:
        self._open: tuple[Path, list[bytes]] | None = None

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Mask]:
        """The mask of as many frames counted from the last; an empty picture from the first hint on."""
        prompts = {_turned(run, frame): prompt for frame, prompt in _prompts_by_frame(run).items()}
        origin = max(prompts)
        yield from [_NONE] * (min(stop, origin + 1) - start)
        begin = max(start, origin + 1)
        if begin >= stop:
            return
        frames = reversed_frames(lambda first, last: read_pixels(run, first, last), run.frames)
        with closing(
            track_pass(
                _network(run), frames, prompts, origin, begin, stop, lambda span: self._masks(run, span)
            )
        ) as items:
            for item in items:
                yield item.mask

    def tracked(self, run: RunContext, start: int, stop: int) -> Generator[Tracked]:
        """The object on the video's frames `[start, stop)`, all before the first hint. Holds a span's packed masks."""
        for frame in range(start, stop):
            at = _turned(run, frame)
            masks = self._masks(run, Span(at, at + 1))
            if masks is None:
                raise LongtakeError(
                    f"The mask of frame {frame} is gone.", "Compute the job anew with --force."
                )
            yield found(frame, masks[0])

    def kept(self, span: Span) -> tuple[str, ...]:
        """The span's file, below the job folder."""
        return (f"{self.folder}/{span.name}{self.suffix}",)

    def _masks(self, run: RunContext, frames: Span) -> Sequence[Mask] | None:
        """The kept masks of `frames`, counted from the last of the video; None where not all are there."""
        shape, masks = (run.video.height, run.video.width), list[Mask]()
        for span in run.spans:
            first, last = max(span.start, frames.start), min(span.stop, frames.stop)
            path = run.folder / self.kept(span)[0]
            if first >= last:
                continue
            if not path.is_file():
                return None
            if self._open is None or self._open[0] != path:
                self._open = path, _read_packed(path)
            masks += [_unpacked(self._open[1][at - span.start], shape) for at in range(first, last)]
        return masks

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A `.npz` of the span's masks, compressed."""
        return RowSink(path, _packed, row=_compressed)

    def preview(self, item: Mask) -> Pixels | None:
        """Nothing to show."""
        return None

    def value(self, item: Mask) -> float | None:
        """No curve."""
        return None


class Sam2MaskStage(MaskVideoStage):
    """The masks of all frames, kept as those of the built-in tracker."""

    def __init__(self, back: Sam2BackwardStage) -> None:
        self._back = back

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Tracked]:
        """Where the object is on frames `[start, stop)`."""
        prompts = _prompts_by_frame(run)
        origin = min(prompts)
        with closing(self._back.tracked(run, start, min(stop, origin))) as items:
            yield from items
        begin = max(start, origin)
        if begin >= stop:
            return

        def frames(first: int, last: int) -> Generator[Pixels]:
            return read_pixels(run, first, last)

        with closing(
            track_pass(_network(run), frames, prompts, origin, begin, stop, lambda span: _films(run, span))
        ) as items:
            yield from items


def _prompts_by_frame(run: RunContext) -> dict[int, ObjectPrompt]:
    return {prompt.frame: prompt for prompt in read_prompts(run)}


def _turned(run: RunContext, frame: int) -> int:
    """`frame` counted from the other end."""
    return mirrored(run.frames, Span(frame, frame + 1)).start


def _network(run: RunContext) -> Segmenter:
    """The network, loaded. Raises WeightsMissing, WeightsBroken, BadInput for a device that is not there."""
    settings = mask_settings_of(run)
    return load_segmenter(find_segmenter(settings.weights), device_of(settings))


def device_of(settings: MaskSettings) -> str:
    """What the network computes on, by torch's name. Raises BadInput for a device that is not there."""
    kind, _, index = settings.device.partition(":")
    if kind == "cpu" or settings.preset == "none":
        return "cpu"
    hardware = probe_hardware()
    device = hardware.device(int(index or 0))
    if device is not None and kind in ("auto", device.kind):
        return f"{device.kind}:{device.index}"
    if kind == "auto":
        return "cpu"
    raise BadInput(
        f"There is no device {settings.device}. {hardware.no_device_reason}".strip(),
        "`--device auto` takes what is there.",
    )


def _films(run: RunContext, frames: Span) -> Sequence[Mask] | None:
    """The kept masks of `frames`; None where not all are there."""
    touched = (span for span in run.spans if span.start < frames.stop and frames.start < span.stop)
    if not all((run.folder / FOLDER / f"{span.name}{SUFFIX}").is_file() for span in touched):
        return None
    with closing(read_tracked(run, frames.start, frames.stop)) as masks:
        return list(masks)  # as many as the network looks back to


def _compressed(mask: Mask) -> bytes:
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def _packed(masks: list[bytes]) -> dict[str, NDArray[Any]]:
    ends = np.cumsum([len(bits) for bits in masks], dtype=np.int64)
    return {"ends": ends, "bits": np.frombuffer(b"".join(masks), np.uint8)}


def _read_packed(path: Path) -> list[bytes]:
    ends, bits = read_arrays(path, "ends", "bits")
    return [bits[start:stop].tobytes() for start, stop in pairwise([0, *ends.tolist()])]


def _unpacked(bits: bytes, shape: tuple[int, int]) -> Mask:
    mask = np.unpackbits(np.frombuffer(zlib.decompress(bits), np.uint8), count=shape[0] * shape[1])
    return np.asarray(mask.reshape(shape), np.bool_)
