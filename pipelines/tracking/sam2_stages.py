"""Prepass stages that track with SAM 2: backward from the first prompt, then a mask for each frame.

Like the built-in tracker's, the backward pass counts its frames from the last one, so that it advances in the order in
which spans are computed. The network is loaded for each stage and released after it.
"""

import zlib
from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory.compute import is_on_host
from memory.devices import fix_threads, limit_device
from memory.probe import probe_hardware
from pipelines.errors import LongtakeError
from pipelines.masks.mask_video import FOLDER, SUFFIX, read_tracked
from pipelines.masks.reading import mask_settings_of, read_pixels
from pipelines.settings import MaskSettings
from pipelines.settings.devices import device_for, device_limit_bytes, torch_name
from pipelines.spans import Span
from pipelines.stages import OneFile, RunContext, Sink
from pipelines.storage.span_arrays import RowSink, read_arrays
from pipelines.tracking.fusion import Tracked
from pipelines.tracking.job_prompts import read_prompts
from pipelines.tracking.prompts import ObjectPrompt
from pipelines.tracking.sam2_model import Segmenter, find_segmenter, load_segmenter, tracked_from_mask
from pipelines.tracking.sam2_passes import reversed_frames, track_pass
from pipelines.tracking.stages import MaskVideoStage, mirrored
from pipelines.vision.types import Mask, Pixels

_NO_MASK = np.zeros((0, 0), np.bool_)


class Sam2BackwardStage(OneFile):
    """Stage of the masks before the first prompt, packed: a few hundred bytes each."""

    in_order = True  # the network goes on from the masks before
    network = True
    name = "look back"
    folder = "state/back"
    suffix = ".npz"

    def __init__(self) -> None:
        self._open: tuple[Path, list[bytes]] | None = None

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Mask]:
        """Yield masks of frames `[start, stop)` counted from the last; an empty array from the first prompt on."""
        prompts = {_mirrored_frame(run, frame): prompt for frame, prompt in _prompts_by_frame(run).items()}
        origin = max(prompts)
        yield from [_NO_MASK] * (min(stop, origin + 1) - start)
        begin = max(start, origin + 1)
        if begin >= stop:
            return
        frames = reversed_frames(lambda first, last: read_pixels(run, first, last), run.frames)
        with closing(
            track_pass(
                load_network(mask_settings_of(run), run.threads),
                frames,
                prompts,
                origin,
                begin,
                stop,
                lambda span: self._kept_masks(run, span),
            )
        ) as items:
            for item in items:
                yield item.mask

    def tracked(self, run: RunContext, start: int, stop: int) -> Generator[Tracked]:
        """Yield the object on frames `[start, stop)`, all before the first prompt. Holds a span's packed masks."""
        for frame in range(start, stop):
            at = _mirrored_frame(run, frame)
            masks = self._kept_masks(run, Span(at, at + 1))
            if masks is None:
                raise LongtakeError(
                    f"The mask of frame {frame} is missing.", "Recompute the job with --force.", "job.damaged"
                )
            yield tracked_from_mask(frame, masks[0])

    def kept(self, span: Span) -> tuple[str, ...]:
        """The span's file, relative to the job folder."""
        return (f"{self.folder}/{span.name}{self.suffix}",)

    def _kept_masks(self, run: RunContext, frames: Span) -> Sequence[Mask] | None:
        """Read the stored masks of `frames`, counted from the last; None unless all are stored."""
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
        """No preview."""
        return None

    def value(self, item: Mask) -> float | None:
        """No curve."""
        return None


class Sam2MaskStage(MaskVideoStage):
    """Stage of the masks of all frames, stored like the built-in tracker's."""

    in_order = True  # the network goes on from the masks before
    network = True

    def __init__(self, back: Sam2BackwardStage) -> None:
        self._back = back

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Tracked]:
        """Yield the object on frames `[start, stop)`. Holds the network and a session."""
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
            track_pass(
                load_network(mask_settings_of(run), run.threads),
                frames,
                prompts,
                origin,
                begin,
                stop,
                lambda span: _stored_masks(run, span),
            )
        ) as items:
            yield from items


def _prompts_by_frame(run: RunContext) -> dict[int, ObjectPrompt]:
    return {prompt.frame: prompt for prompt in read_prompts(run)}


def _mirrored_frame(run: RunContext, frame: int) -> int:
    """Return the number of `frame` counted from the other end."""
    return mirrored(run.frames, Span(frame, frame + 1)).start


def load_network(settings: MaskSettings, threads: int = 0) -> Segmenter:
    """Load the network onto the device that engines would use, within the same limits; on the CPU with `threads`.

    Raises WeightsMissing, WeightsBroken, and BadInput for a missing device.
    """
    device = torch_name(device_for(settings, probe_hardware()))
    if limit_bytes := device_limit_bytes(settings):
        limit_device(limit_bytes, device)
    if threads and is_on_host(device):
        fix_threads(threads)
    return load_segmenter(find_segmenter(settings.weights), device)


def _stored_masks(run: RunContext, frames: Span) -> Sequence[Mask] | None:
    """Read the stored masks of `frames`; None unless all are stored."""
    touched = (span for span in run.spans if span.start < frames.stop and frames.start < span.stop)
    if not all((run.folder / FOLDER / f"{span.name}{SUFFIX}").is_file() for span in touched):
        return None
    with closing(read_tracked(run, frames.start, frames.stop)) as masks:
        return list(masks)  # at most the frames in the network's memory


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
