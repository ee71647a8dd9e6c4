"""The flow engine on deep video: fills of the source's depth, without seams, the same from any frame on."""

import cv2
import numpy as np
import pytest

from pipelines.inpainting.flow.engine import FlowFill, load
from pipelines.spans import Span
from pipelines.video.colour.coding import Coding
from pipelines.video.colour.paste import paste_samples
from pipelines.video.info import ColourTags
from pipelines.video.samples.layout import SampleLayout
from pipelines.video.samples.planes import Planes

PQ = ColourTags("tv", "bt2020nc", "bt2020", "smpte2084")
HLG = ColourTags("tv", "bt2020nc", "bt2020", "arib-std-b67")
SDR = ColourTags("tv", "bt709", "bt709", "bt709")
WIDTH, HEIGHT, FRAMES = 160, 96, 14


class Clip:
    """A soft gradient, or a texture, that drifts behind a bright box that moves: 10 bits, 4:2:0."""

    def __init__(self, tags: ColourTags, *, texture: bool = False) -> None:
        self.coding = Coding(SampleLayout(10, "420"), tags)
        rng = np.random.default_rng(3)
        ground = cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH + 80)).astype(np.float32), (0, 0), 2)
        self.truth, self.masks, self.planes = [], [], []
        for i in range(FRAMES):
            x, y = np.arange(WIDTH) + 1.5 * i, np.arange(HEIGHT)[:, None]
            luma = 300 + 0.55 * x + 0.3 * y
            if texture:
                luma = luma + 400 * ground[:, 2 * i : 2 * i + WIDTH]
            chroma = np.add.outer(np.arange(HEIGHT // 2) * 0.2, np.arange(WIDTH // 2) * 0.3)
            mask = np.zeros((HEIGHT, WIDTH), bool)
            mask[30:66, 20 + 6 * i : 50 + 6 * i] = True
            seen = np.where(cv2.erode(mask.view(np.uint8), np.ones((5, 5), np.uint8)) > 0, 850, luma)
            planes = (seen, 490 + chroma, 530 - chroma)
            self.planes.append(Planes(tuple(np.rint(p).astype(np.uint16) for p in planes), 10, "420"))
            self.truth.append(luma)
            self.masks.append(mask)

    def read(self, start: int, stop: int):
        for planes, mask in zip(self.planes[start:stop], self.masks[start:stop], strict=True):
            yield self.coding.codes(planes), mask

    def filled(self, start: int = 0, stop: int = FRAMES, workers: int = 1) -> list[Planes]:
        engine = FlowFill("draft", workers, see=self.coding.proxy)
        fills = engine.fill(self.read, Span(0, FRAMES), start, stop)
        return [
            paste_samples(self.planes[i], fill.pixels, self.masks[i], self.coding, i)[0]
            for i, fill in enumerate(fills, start)
        ]


@pytest.mark.parametrize("tags", [PQ, HLG, SDR], ids=["pq", "hlg", "sdr"])
def test_a_gradient_has_no_seam_and_no_bands(tags: ColourTags) -> None:
    clip = Clip(tags)
    for planes, truth, mask in zip(clip.filled(), clip.truth, clip.masks, strict=True):
        off = planes.y - truth
        rim = mask & (cv2.erode(mask.view(np.uint8), np.ones((3, 3), np.uint8)) == 0)
        assert np.abs(cv2.blur(off.astype(np.float32), (3, 3))[rim]).max() <= 2
        assert np.abs(cv2.blur(off.astype(np.float32), (5, 5))[mask]).max() <= 5
        # Codes between the steps of 8 bits are used as often as those on them.
        assert np.count_nonzero(planes.y[mask] % 4 != 0) > 0.6 * np.count_nonzero(mask)


def test_a_texture_is_found_in_other_frames_in_its_own_codes() -> None:
    clip = Clip(PQ, texture=True)
    errors = [
        np.abs(planes.y - truth)[mask].mean()
        for planes, truth, mask in zip(clip.filled(), clip.truth, clip.masks, strict=True)
    ]
    assert np.mean(errors[3:-3]) < 4


def test_spans_and_workers_make_no_difference() -> None:
    clip = Clip(HLG, texture=True)
    whole = clip.filled()
    parts = [*clip.filled(0, 5), *clip.filled(5, 11, workers=2), *clip.filled(11, FRAMES)]
    for first, second in zip(whole, parts, strict=True):
        for a, b in zip(first.colours, second.colours, strict=True):
            assert np.array_equal(a, b)


def test_the_plan_of_a_deep_video_holds_at_most_1_6_times_as_much() -> None:
    shallow, deep = load("balanced", 2), load("balanced", 2, deep=True)
    assert shallow.per_pixel < deep.per_pixel <= 1.6 * shallow.per_pixel
    assert deep.fixed == shallow.fixed
