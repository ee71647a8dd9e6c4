"""Masks are in the estimate of memory, hold no more than that, and are kept no larger than the video."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from memory.process_tree import reset_own_peak
from memory.units import MIB
from pipelines.errors import NotEnoughMemory
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.masks.memory_cost import prompt_bytes, reading_bytes
from pipelines.masks.sequence import open_masks
from pipelines.masks.target_size import TargetSize
from pipelines.runtime.planning import estimate
from pipelines.runtime.run import run_job
from pipelines.settings import InpaintSettings, TrackSettings
from pipelines.spec import task_spec

from ..mask_clips import encode, white
from ..picture_files import heic

SIDE = 3000
ROOT = Path(__file__).parents[3]
MEASURE = """
import sys
from pathlib import Path
from memory.process_tree import own_peak_bytes, reset_own_peak
from pipelines.masks.memory_cost import reading_bytes
from pipelines.masks.sequence import open_masks
from pipelines.video.info import VideoInfo
from pipelines.video.clock.timeline import constant

video = VideoInfo(Path("clip.mp4"), "mp4", "h264", 300, 300, constant(3, 25))
warm, path, readers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
list(open_masks(warm, video).read(0, 1))  # Libraries are loaded.
reset_own_peak()
before = own_peak_bytes()
reading = [open_masks(path, video).read(0, 3) for _ in range(readers)]
for _ in range(3):
    for masks in reading:
        next(masks)
print(own_peak_bytes() - before, reading_bytes(path, video, readers=readers))
"""


def large_disc(side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return (x - side // 2) ** 2 + (y - side // 2) ** 2 < (side // 4) ** 2


def paint(mask: np.ndarray) -> Image.Image:
    """Black paint on nothing, as RGBA."""
    return Image.fromarray(np.dstack([np.zeros((*mask.shape, 3), np.uint8), mask.astype(np.uint8) * 255]))


def saved(kind: str, folder: Path) -> Path:
    mask = large_disc()
    if kind == "zip":
        data = io.BytesIO()
        white(mask).convert("RGB").save(data, "PNG", compress_level=1)
        with zipfile.ZipFile(folder / "m.zip", "w") as packed:
            for number in range(3):
                packed.writestr(f"{number}.png", data.getvalue())
        return folder / "m.zip"
    options = {"png": {"compress_level": 1}, "webp": {"lossless": True, "method": 0}}[kind]
    paint(mask).save(folder / f"m.{kind}", **options)
    return folder / f"m.{kind}"


@pytest.mark.skipif(not reset_own_peak(), reason="this system does not set marks back")
@pytest.mark.parametrize(("kind", "pixel_bytes"), [("png", 6), ("zip", 6), ("webp", 17)])
def test_readers_of_large_masks_hold_what_is_predicted(kind: str, pixel_bytes: int, tmp_path: Path) -> None:
    white(large_disc(300)).save(tmp_path / "warm.png")
    command = [sys.executable, "-c", MEASURE, tmp_path / "warm.png", saved(kind, tmp_path), "3"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=300).stdout
    held, predicted = map(int, told.split())
    assert held <= 1.05 * predicted + 4 * MIB
    assert predicted < pixel_bytes * SIDE**2 + 4 * MIB, "one at a time, and no second copy"


def test_what_is_read_of_a_larger_mask_is_what_resizing_it_gives(tmp_path: Path, video) -> None:
    """Also where it is stored turned and mirrored, and across strips: 1,400 x 1,200 pixels are two."""
    rng = np.random.default_rng(3)
    upright = cv2.resize(rng.integers(0, 256, (60, 70), np.uint8), (1400, 1200)) > 127
    for orientation, size in (
        (1, (350, 300)),
        (2, (333, 285)),
        (6, (350, 300)),
        (7, (351, 301)),
        (3, (1500, 1286)),
    ):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            6: np.rot90(upright),
            7: upright[::-1, ::-1].T,
        }
        white(np.ascontiguousarray(stored[orientation])).save(tmp_path / "m.png", exif=exif)
        known = video(1, *size)
        found = next(open_masks(tmp_path / "m.png", known).read(0, 1))
        assert np.array_equal(found, TargetSize(tmp_path, known).resized(upright)), orientation


def test_labels_are_told_from_shades_over_all_strips(tmp_path: Path, video) -> None:
    labels = np.zeros((1200, 1400), np.uint8)
    labels[:40], labels[-40:] = 3, 7
    Image.fromarray(labels).save(tmp_path / "labels.png")
    found = next(open_masks(tmp_path / "labels.png", video(1, 1400, 1200)).read(0, 1))
    assert np.array_equal(found, labels > 0)
    labels[-1, -1] = 255
    Image.fromarray(labels).save(tmp_path / "shades.png")
    assert next(open_masks(tmp_path / "shades.png", video(1, 1400, 1200)).read(0, 1)).sum() == 1


def test_a_heic_is_a_mask(tmp_path: Path, video) -> None:
    mask = large_disc(320)
    (tmp_path / "mask.heic").write_bytes(heic(np.repeat(mask[..., None] * np.uint8(255), 3, 2)))
    found = next(open_masks(tmp_path / "mask.heic", video(1, 320, 320)).read(0, 1))
    assert np.mean(found != mask) < 0.002
    assert reading_bytes(tmp_path / "mask.heic", video(1, 320, 320), readers=1) > 14 * 320 * 320


def test_every_kind_of_mask_is_predicted(tmp_path: Path, video) -> None:
    known, frames = video(3, 64, 48), [large_disc(400).astype(np.uint8) * 255] * 3
    film = encode(tmp_path / "m.mp4", frames, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    exact = encode(tmp_path / "m.mkv", frames, "-c:v", "ffv1")
    lossy, kept = (reading_bytes(path, known, readers=1) for path in (film, exact))
    assert lossy > 17 * 1.5 * 400**2 > 16 * 400**2 > kept > 5 * 400**2
    assert reading_bytes(exact, known, readers=3) == 3 * kept
    pictures = [paint(np.roll(large_disc(400), 9 * k, 1)) for k in range(3)]
    pictures[0].save(tmp_path / "m.webp", save_all=True, append_images=pictures[1:], duration=40)
    assert reading_bytes(tmp_path / "m.webp", known, readers=1) >= 16 * 400**2
    (tmp_path / "no.png").write_bytes(b"no picture")
    assert reading_bytes(tmp_path / "no.png", known, readers=1) <= 64 * 48
    assert reading_bytes(tmp_path / "missing.png", known, readers=1) == 0


def test_painted_prompts_are_predicted_each(tmp_path: Path, video) -> None:
    with zipfile.ZipFile(tmp_path / "marks.zip", "w") as packed:
        for number in range(20):
            data = io.BytesIO()
            white(large_disc(100)).save(data, "PNG")
            packed.writestr(f"{number:08d}.png", data.getvalue())
    known = video(30, 1000, 1000)
    twenty = prompt_bytes(tmp_path / "marks.zip", known)
    assert 20 * 1000**2 < twenty < 23 * 1000**2 + 17 * MIB


@pytest.fixture
def job_files(tmp_path: Path) -> tuple[Path, Path]:
    clip = encode(tmp_path / "clip.mp4", [np.zeros((64, 64), np.uint8)] * 4, "-pix_fmt", "yuv420p")
    paint(large_disc(4000)).save(tmp_path / "mask.png", compress_level=1)
    return clip, tmp_path / "mask.png"


@pytest.mark.parametrize(("task", "model"), [("inpaint", InpaintSettings), ("track", TrackSettings)])
def test_a_large_mask_counts_in_the_estimate(task: str, model, job_files, tmp_path: Path) -> None:
    clip, mask = job_files
    white(large_disc(64)).save(tmp_path / "small.png")
    large, small = (
        estimate(task, (clip, path), model(), tmp_path) for path in (mask, tmp_path / "small.png")
    )
    assert large.predicted_host_bytes - small.predicted_host_bytes > 3.9 * 4000**2


def test_a_mask_that_does_not_fit_ends_the_job_before_it_is_decoded(
    job_files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    white(large_disc(64)).save(tmp_path / "small.png")
    clip, mask = job_files
    small = estimate("inpaint", (clip, tmp_path / "small.png"), InpaintSettings(), tmp_path)
    limit_gb = (small.predicted_host_bytes / 0.9 + 20 * MIB) / 2**30
    settings = InpaintSettings(engine="flow", ram_limit_gb=round(limit_gb, 3))
    monkeypatch.setattr("pipelines.masks.sources.open_image", lambda *a: pytest.fail("decoded"))
    job = Job.create(
        tmp_path / "jobs", "inpaint", (clip, mask), settings, task_spec("inpaint").result_version
    )
    run_job(job)
    ending = job.journal.last_state()
    assert isinstance(ending, events.Failed)
    assert (ending.code, ending.exit_code) == (NotEnoughMemory.code, 3)
