"""The same scene in SDR, PQ and HLG: the same faults, and the same sharpness."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.scoring.metrics.frame_features import compare, features_of
from pipelines.scoring.metrics.verdicts import verdicts
from pipelines.video.colour.transfer import nits_to_pq, scene_to_hlg
from pipelines.video.files import ffmpeg
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from tests.pipelines.scoring.conftest import pan, plant, scene

SIZE = (320, 180)
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""ITU-R BT.2087."""
SDR, PQ, HLG = (
    ("bt709", "bt709", "bt709"),
    ("bt2020nc", "bt2020", "smpte2084"),
    ("bt2020nc", "bt2020", "arib-std-b67"),
)


def drawn() -> np.ndarray:
    """A tinted clip with blurred frames, copies and a cut: 100 frames (H, W, 3) uint8."""
    first = [luma[::2, ::2] for luma in plant(1).lumas]
    second = pan(scene(9), 30, step=3, size=SIZE)
    grey = np.stack(first + second)[..., None].astype(np.float32)
    # One tint for each half of the frame's height, dark and light.
    tint = np.where(np.arange(SIZE[1])[:, None, None] < 90, (1.0, 0.85, 0.6), (0.55, 0.8, 1.0))
    return np.rint(grey * tint).astype(np.uint8)


def graded(frame: np.ndarray, transfer: str) -> np.ndarray:
    """Return 16 bits of the same light; `frame` has levels of 8 bits, whole or not."""
    if transfer == "bt709":
        return np.rint(frame * 257.0).astype("<u2")
    nits = (frame / 255.0) ** 2.4 * 203 @ TO_BT2020.T
    if transfer == "smpte2084":
        signal = nits_to_pq(nits)
    else:
        light = nits / 1000
        luminance = np.maximum(light @ [0.2627, 0.6780, 0.0593], 1e-9)[..., None]
        signal = scene_to_hlg(light * luminance ** (1 / 1.2 - 1))
    return np.rint(np.clip(signal, 0, 1) * 65535).astype("<u2")


def encode(path: Path, frames: list[np.ndarray], tags: tuple[str, str, str]) -> None:
    """Encode without loss: what an encoder adds to blurred frames differs with the depth."""
    matrix, primaries, transfer = tags
    deep = frames[0].dtype != np.uint8
    filters = (
        f"scale=out_color_matrix={matrix}:out_range=tv",
        f"setparams=colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}:range=tv",
    )
    made = subprocess.run(
        [
            *(ffmpeg.binary(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb48le" if deep else "rgb24"),
            *("-s", "{}x{}".format(*SIZE), "-r", "25", "-i", "-", "-vf", ",".join(filters)),
            *("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:lossless=1"),
            *("-pix_fmt", "yuv420p10le" if deep else "yuv420p", str(path)),
        ],
        input=b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames),
        check=False,
    )
    assert made.returncode == 0


def judged(path: Path) -> np.ndarray:
    before, records = None, []
    for frame in read_frames(probe(path), luma_only=True):
        now = features_of(frame.luma(SIZE[0]))
        records.append(compare(before, now))
        before = now
    return np.concatenate(list(verdicts([np.concatenate(records)], 3, 25.0)))


@pytest.fixture(scope="module")
def sdr(tmp_path_factory):
    path = tmp_path_factory.mktemp("sdr") / "clip.mp4"
    encode(path, list(drawn()), SDR)
    return judged(path)


@pytest.mark.parametrize("tags", [PQ, HLG], ids=["pq", "hlg"])
def test_the_same_scene_has_the_same_faults_and_sharpness(tags, sdr, tmp_path):
    encode(tmp_path / "clip.mp4", [graded(frame, tags[2]) for frame in drawn()], tags)
    hdr = judged(tmp_path / "clip.mp4")
    flags = ("blurred", "frozen", "cut", "blank", "cadence")
    assert sdr["blurred"].sum() >= 8
    assert sdr["frozen"].sum() >= 3
    assert sdr["cut"].sum() == 1
    equal = np.all([sdr[name] == hdr[name] for name in flags], axis=0)
    assert equal.mean() >= 0.98
    assert np.abs(hdr["sharpness"] / sdr["sharpness"] - 1).max() < 0.1
    assert np.abs(hdr["contrast"] / sdr["contrast"] - 1).max() < 0.1


@pytest.mark.parametrize("tags", [SDR, PQ, HLG], ids=["sdr", "pq", "hlg"])
def test_defocused_frames_have_the_steps_of_8_bits_in_deep_video(tags, tmp_path):
    """The steps are most of the curvature there: where they are rounded differs by a sixth, without them by half."""
    soft = [
        cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 7) for luma in pan(scene(5), 4, step=3, size=SIZE)
    ]
    levels = [np.repeat(luma[..., None], 3, axis=2) for luma in soft]
    encode(tmp_path / "shallow.mp4", [np.rint(frame).astype(np.uint8) for frame in levels], SDR)
    encode(tmp_path / "deep.mp4", [graded(frame, tags[2]) for frame in levels], tags)
    shallow, deep = (judged(tmp_path / f"{name}.mp4")["sharpness"] for name in ("shallow", "deep"))
    assert np.abs(deep / shallow - 1).max() < 0.25


@pytest.mark.parametrize("tags", [PQ, HLG], ids=["pq", "hlg"])
def test_defocused_sdr_that_was_converted_to_hdr_is_as_sharp(tags, tmp_path):
    """Its levels, and so its steps, are those of SDR."""
    soft = [cv2.GaussianBlur(luma, (0, 0), 7) for luma in pan(scene(5), 4, step=3, size=SIZE)]
    levels = [np.repeat(luma[..., None], 3, axis=2) for luma in soft]
    encode(tmp_path / "shallow.mp4", levels, SDR)
    encode(tmp_path / "deep.mp4", [graded(frame, tags[2]) for frame in levels], tags)
    shallow, deep = (judged(tmp_path / f"{name}.mp4")["sharpness"] for name in ("shallow", "deep"))
    assert np.abs(deep / shallow - 1).max() < 0.1
