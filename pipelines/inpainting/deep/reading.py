"""Reading the samples of a job's video, and its frames as R'G'B' codes at the size at which an engine computes."""

from collections.abc import Generator
from contextlib import closing

from pipelines.masks.reading import read_masks, size_of
from pipelines.masks.resize import small_mask
from pipelines.settings import InpaintSettings
from pipelines.stages import RunContext
from pipelines.video.colour.coding import Coding
from pipelines.video.colour.eight_bits import laid_over
from pipelines.video.encoding.encodings import chosen_codec, keeps_depth
from pipelines.video.info import VideoInfo
from pipelines.video.reader import bounded_decoder, read_frames
from pipelines.video.samples.planes import Planes
from pipelines.vision.types import Deep, Mask


def fills_samples(video: VideoInfo, settings: InpaintSettings) -> bool:
    """Tell whether the samples of `video` are filled as they are stored, instead of 8 bits of RGB.

    So they are where the source has more than 8 bits or is HDR, and where the result is lossless. The published output
    is what was published, with 8 bits, unless both source and result are deep.
    """
    codec, deep = chosen_codec(settings.codec, video), video.deep or video.hdr is not None
    if settings.reference_output:
        return deep and keeps_depth(codec)
    return deep or codec == "ffv1"


def read_planes(run: RunContext, start: int, stop: int) -> Generator[Planes]:
    """Yield the samples of frames `[start, stop)`, laid over the background. Holds what the decoder holds."""
    video, settings = run.video, run.settings
    decoder = bounded_decoder(video, settings.decoder)
    ahead = run.plan.window_frames
    with closing(
        read_frames(video, start, stop, decoder=decoder, salvage=settings.salvage, planes=True, ahead=ahead)
    ) as frames:
        for frame in frames:
            yield laid_over(frame.planes(), video.background, video.colour)


def read_codes(run: RunContext, coding: Coding, start: int, stop: int) -> Generator[tuple[Deep, Mask]]:
    """Yield the R'G'B' codes `(h, w, 3)` and mask `(h, w)` of frames `[start, stop)`, at `size_of(run)`."""
    size = size_of(run)
    with closing(read_planes(run, start, stop)) as frames, closing(read_masks(run, start, stop)) as masks:
        for planes, mask in zip(frames, masks, strict=True):
            yield coding.codes(planes, size), small_mask(mask, size)
