"""Against what the published system computed, on the same stand-in weights: image propagation, and whole runs."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memory.ladder import Effort, Ladder
from pipelines.inpainting.propainter.canvas import Canvas
from pipelines.inpainting.propainter.engine import load_networks
from pipelines.inpainting.propainter.schedule import Schedule
from pipelines.inpainting.propainter.streaming import Chain, Painted, Recipe
from pipelines.masks.sequence import dilate
from pipelines.nets.propainter.image_propagation import (
    HoleState,
    codes_of,
    nothing,
    passage,
    propagate,
    unknown_of,
)
from pipelines.settings import InpaintSettings
from pipelines.spans import Span

SLOW = pytest.mark.skipif(
    not os.environ.get("LONGTAKE_SLOW"), reason="takes minutes: LONGTAKE_SLOW=1 runs it"
)


def test_image_propagation_is_exact(goldens):
    golden = np.load(goldens / "image_propagation.npz")
    onward, back = (torch.from_numpy(golden[f"flow_{way}"]).float() for way in ("fwd", "bwd"))
    frames = list(torch.from_numpy(golden["frames"]))
    holes = [torch.from_numpy(np.flatnonzero(mask)) for mask in golden["mask"]]
    known = [nothing(places) for places in holes]

    def step(index: int, other: int, there: torch.Tensor, home: torch.Tensor) -> HoleState:
        given = frames[other], holes[other], known[other]
        way = passage(there, home, holes[index])
        return propagate(known[index], holes[index], way, codes_of(*given), unknown_of(*given))

    def levels() -> np.ndarray:
        codes = np.stack([codes_of(*each).numpy() for each in zip(frames, holes, known, strict=True)])
        return np.where(codes > 0, np.round(((codes - 1) / 255 * 2 - 1) * 255), 0).astype(np.int16)

    for index in reversed(range(len(frames) - 1)):
        known[index] = step(index, index + 1, onward[index], back[index])
    assert np.array_equal(levels(), golden["backward_pass_times255"])
    for index in range(1, len(frames)):
        known[index] = step(index, index - 1, back[index - 1], onward[index - 1])
    assert np.array_equal(levels(), golden["prop_times255"])
    unknown = [unknown_of(*each)[0].numpy() for each in zip(frames, holes, known, strict=True)]
    assert np.array_equal(np.stack(unknown), golden["updated_mask"])


def test_flows_agree_where_they_should(goldens):
    golden = np.load(goldens / "image_propagation.npz")
    onward, back = (torch.from_numpy(golden[f"flow_{way}"]).float() for way in ("fwd", "bwd"))
    everywhere = torch.arange(onward[0, 0].numel())
    for name, there, home in (("valid_fwd", onward, back), ("valid_bwd", back, onward)):
        found = [passage(*flows, everywhere).agrees.numpy() for flows in zip(there, home, strict=True)]
        assert np.array_equal(np.stack(found).reshape(golden[name].shape), golden[name].astype(np.bool_))


OPTIONS: dict[str, dict[str, Any]] = {
    "e2e_odd_size": {"raft_iter": 6, "mask_dilation": 2},
    "e2e_outpaint": {"raft_iter": 6, "mode": "video_outpainting"},
    "e2e_short": {},
    "e2e_long": {"subvideo_length": 12, "neighbor_length": 6, "ref_stride": 3, "raft_iter": 8},
}


def painted(
    golden: Any, settings: InpaintSettings, weights: Path, span: Span | None = None
) -> tuple[Canvas, list[Painted]]:
    frames = golden["frames"]
    count, height, width = frames.shape[:3]
    canvas = Canvas.of((width, height), settings, (width, height))

    def hole(index: int) -> Any:
        if "masks" not in golden:
            return None
        from PIL import Image

        small = Image.fromarray(golden["masks"][index]).resize(canvas.work.picture, Image.Resampling.NEAREST)
        return dilate(np.asarray(small) != 0, settings.mask_dilation)

    def read(start: int, stop: int) -> Any:
        for index in range(start, stop):
            yield canvas.small_frame(frames[index]), canvas.small_hole(hole(index))

    schedule = Schedule(count, settings.subvideo_length, settings.neighbor_length, settings.ref_stride)
    plan = Recipe(schedule, settings.raft_iter)
    networks, ladder = load_networks(weights, "cpu"), Ladder(Effort(1), ())
    chain = Chain(read, networks, ladder, plan, span or Span(0, count), canvas.flow_mask)
    return canvas, list(chain.frames())


@pytest.mark.parametrize(
    "name",
    ["e2e_odd_size", "e2e_outpaint", *(pytest.param(name, marks=SLOW) for name in ("e2e_short", "e2e_long"))],
)
def test_whole_runs_are_the_published_ones(goldens, weights, name):
    golden = np.load(goldens / f"{name}.npz")
    settings = InpaintSettings(reference_output=True, **OPTIONS[name])
    canvas, found = painted(golden, settings, weights)
    masks = np.stack([each.mask for each in found])
    width = canvas.work.whole[0]
    assert np.array_equal(masks, bits(golden["masks_dilated_bits"], width))
    unknown = np.stack([each.invented for each in found])
    assert (unknown != bits(golden["updated_masks_bits"], width)).sum() <= 1e-3 * masks.sum()
    if "output" in golden:
        got, expected = np.stack([canvas.resized(each.after) for each in found]), golden["output"]
    else:
        got, expected = np.stack([each.after for each in found])[masks], golden["output_masked"]
    difference = np.abs(got.astype(int) - expected)
    assert difference.mean() < 0.01
    assert (difference > 0).mean() <= 0.005
    assert (difference > 1).mean() <= 1e-5


def bits(packed: np.ndarray, width: int) -> np.ndarray:
    return np.unpackbits(packed, axis=-1)[..., :width].astype(np.bool_)


@SLOW
def test_a_span_of_a_long_run_is_the_same_on_its_own(goldens, weights):
    golden = np.load(goldens / "e2e_long.npz")
    settings = InpaintSettings(reference_output=True, **OPTIONS["e2e_long"])
    whole, part = painted(golden, settings, weights)[1], painted(golden, settings, weights, Span(17, 26))[1]
    assert all(np.array_equal(a.after, b.after) for a, b in zip(whole[17:26], part, strict=True))
