"""A file is whole after `close`, or there is an error that says why."""

import errno
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipelines.errors import (
    DiskFailed,
    EncoderDied,
    FolderUnusable,
    LongtakeError,
    NotEnoughDisk,
    TooManyFiles,
)
from pipelines.video import writer
from pipelines.video.files import ffmpeg
from pipelines.video.info import ColourTags
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from pipelines.video.writer import VideoWriter

RATE = Fraction(25)
TAGS = ColourTags("tv", "bt709", "bt709", "bt709")


def write(path: Path, picture, frames: int = 12, width: int = 160, height: int = 96, **more) -> None:
    with VideoWriter(path, width, height, more.pop("rate", RATE), **more) as out:
        for index in range(frames):
            out.write(picture(index, width, height))


def test_frames_come_back_in_order(tmp_path: Path, picture, number_of) -> None:
    path = tmp_path / "out.part.mp4"
    write(path, picture, 30, rate=Fraction(30000, 1001))
    info = probe(path)
    assert (info.frames, info.frame_rate, info.timeline.time_base) == (
        30,
        Fraction(30000, 1001),
        Fraction(1, 30000),
    )
    assert [number_of(frame.rgb()) for frame in read_frames(info)] == list(range(30))


@pytest.mark.parametrize(
    ("name", "container"), [("out.mp4", "mp4"), ("out.mp4.part", "mp4"), ("out.mkv", "matroska")]
)
def test_the_name_says_the_container(name: str, container: str, tmp_path: Path, picture) -> None:
    write(tmp_path / name, picture)
    assert container in probe(tmp_path / name).container


@pytest.mark.parametrize(
    "tags",
    [TAGS, ColourTags(), ColourTags("pc", "smpte170m", "smpte170m", "smpte170m")],
)
def test_colours_survive_and_tags_are_the_sources(tags: ColourTags, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    frame = np.full((96, 160, 3), (180, 60, 90), np.uint8)
    with VideoWriter(path, 160, 96, RATE, colour=tags) as out:
        out.write(frame)
        out.write(frame)
    info = probe(path)
    assert info.colour == tags
    assert np.abs(next(read_frames(info)).rgb().astype(int) - frame).max() <= 3


def test_an_odd_size_is_padded_by_its_edge(tmp_path: Path, picture) -> None:
    path = tmp_path / "out.mp4"
    write(path, picture, 3, width=159, height=95, crf=1)
    info = probe(path)
    assert (info.width, info.height) == (160, 96)
    frame = next(read_frames(info)).rgb().astype(int)
    assert np.abs(frame[:95, :159] - picture(0, 159, 95)).mean() < 3
    assert np.abs(frame[95, :140] - frame[94, :140]).max() <= 8


def test_aspect_ratio_is_kept(tmp_path: Path, picture) -> None:
    write(tmp_path / "out.mp4", picture, sample_aspect_ratio=Fraction(4, 3))
    assert probe(tmp_path / "out.mp4").sample_aspect_ratio == Fraction(4, 3)


def test_packets_are_in_the_order_of_frames(tmp_path: Path, picture) -> None:
    import av

    write(tmp_path / "out.mp4", picture, 30)
    with av.open(str(tmp_path / "out.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets] == list(range(30))


@pytest.mark.parametrize(
    "frame",
    [np.zeros((95, 160, 3), np.uint8), np.zeros((96, 160, 3), np.float32), np.zeros((96, 160), np.uint8)],
)
def test_a_wrong_frame_is_refused(frame: np.ndarray, tmp_path: Path) -> None:
    out = VideoWriter(tmp_path / "out.mp4", 160, 96, RATE)
    with pytest.raises(ValueError, match="frames must be"):
        out.write(frame)
    out.abandon()


def test_views_are_written_as_they_look(tmp_path: Path, picture, number_of) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 160, 96, RATE) as out:
        for index in (5, 6):
            out.write(np.ascontiguousarray(picture(index)[::-1, ::-1])[::-1, ::-1])
    assert [number_of(frame.rgb()) for frame in read_frames(probe(path))] == [5, 6]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_the_same_frames_give_the_same_bytes(name: str, tmp_path: Path, picture) -> None:
    files = [tmp_path / folder / name for folder in ("one", "two")]
    for path in files:
        path.parent.mkdir()
        write(path, picture, 3)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_killed_encoder_is_named(tmp_path: Path, picture) -> None:
    out = VideoWriter(tmp_path / "out.mp4", 160, 96, RATE)
    out.write(picture(0))
    psutil.Process(out.encoder_pid).kill()
    with pytest.raises(EncoderDied, match="exited with status -9"):
        for index in range(500):
            out.write(picture(index))
    out.abandon()
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_killed_after_the_last_frame_is_named(tmp_path: Path, picture) -> None:
    out = VideoWriter(tmp_path / "out.mp4", 160, 96, RATE)
    out.write(picture(0))
    psutil.Process(out.encoder_pid).kill()
    with pytest.raises(EncoderDied):
        out.close()


def test_lost_frames_are_found(tmp_path: Path, picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "count_packets", lambda _: 11)
    with pytest.raises(EncoderDied, match="11 of 12 frames"):
        write(tmp_path / "out.mp4", picture)


def test_a_full_disk_is_named(picture) -> None:
    # Linux's own full disk: every write to it fails with "No space left on device".
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    out = VideoWriter(full, 160, 96, RATE)
    with pytest.raises(NotEnoughDisk, match="disk is full"):
        for index in range(20):
            out.write(picture(index))
        out.close()


def test_a_folder_that_is_not_there(tmp_path: Path, picture) -> None:
    with pytest.raises(FolderUnusable, match="No such file"):
        write(tmp_path / "nowhere" / "out.mp4", picture, 50)


def test_a_file_that_may_grow_no_further_is_named(tmp_path: Path, picture, small_files) -> None:
    out = tmp_path / "out.mp4"
    with small_files(10_000), pytest.raises(NotEnoughDisk, match="larger than"):
        write(out, picture, 200)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        *((number, NotEnoughDisk) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
        *((number, TooManyFiles) for number in (errno.EMFILE, errno.ENFILE)),
        (errno.EIO, DiskFailed),
        *((number, FolderUnusable) for number in (errno.EACCES, errno.EROFS, errno.ENOENT)),
        (errno.EINVAL, None),
    ],
)
def test_what_the_encoder_is_refused_has_its_name(number: int, kind: type[LongtakeError] | None) -> None:
    said = os.strerror(number)
    assert type(ffmpeg.refusal(1, [f"[out#0/mp4 @ 0x1] Error writing trailer: {said}"])) is (
        kind or type(None)
    )
    # A source that ends early has no error of the output.
    assert ffmpeg.refusal(1, [f"[in#0/avi @ 0x1] Error during demuxing: {said}"]) is None


def test_an_abandoned_file_is_gone(tmp_path: Path, picture) -> None:
    children = psutil.Process().children()
    out = VideoWriter(tmp_path / "out.mp4", 160, 96, RATE)
    out.write(picture(0))
    out.abandon()
    out.abandon()
    assert list(tmp_path.iterdir()) == []
    assert psutil.Process().children() == children


def test_an_error_inside_abandons(tmp_path: Path, picture) -> None:
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "out.mp4", 160, 96, RATE) as out:
        out.write(picture(0))
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_the_encoder_ends_with_a_killed_parent(tmp_path: Path) -> None:
    script = f"""
import os, signal, numpy as np
from fractions import Fraction
from pathlib import Path
from pipelines.video.writer import VideoWriter
out = VideoWriter(Path({str(tmp_path / "out.mp4")!r}), 160, 96, Fraction(25))
out.write(np.zeros((96, 160, 3), np.uint8))
print(out.encoder_pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, timeout=300
    )
    try:
        encoder = psutil.Process(int(done.stdout))
    except psutil.NoSuchProcess:
        return
    psutil.wait_procs([encoder], timeout=300)
    assert not encoder.is_running() or encoder.status() == psutil.STATUS_ZOMBIE
