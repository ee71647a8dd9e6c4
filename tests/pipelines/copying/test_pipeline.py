"""The copy task's promises on real files: what goes in comes out, across a stop in the middle."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.run import run_job
from pipelines.settings import CopySettings, ScoreSettings
from pipelines.storage.kept_files import describe
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=30000/1001:duration=17")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=17")
FAST = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def ffmpeg(*arguments: object) -> None:
    subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, arguments)], check=True)


def plain(path: Path) -> None:
    ffmpeg(*PICTURE, *SOUND, *FAST, "-bf", "2", "-c:a", "aac", path)


def turned(path: Path) -> None:
    upright = path.with_name("upright.mp4")
    ffmpeg(*PICTURE, *SOUND, *FAST, "-c:a", "aac", upright)
    ffmpeg("-display_rotation", "90", "-i", upright, "-c", "copy", path)


def variable(path: Path) -> None:
    drop = "select='not(eq(mod(n,7),3))+lt(n,50)'"
    ffmpeg(*PICTURE, *SOUND, "-vf", drop, "-fps_mode", "vfr", *FAST, "-c:a", "aac", path)


def delayed(path: Path) -> None:
    ffmpeg("-itsoffset", "0.5", *PICTURE, *SOUND, "-map", "0:v", "-map", "1:a", *FAST, "-c:a", "aac", path)


def silent(path: Path) -> None:
    ffmpeg(*PICTURE, *FAST, path)


def packets(path: Path, kind: str) -> list[tuple[Fraction, int]]:
    """Time and size of each packet."""
    with av.open(str(path)) as container:
        stream = next((s for s in container.streams if s.type == kind), None)
        if stream is None:
            return []
        found = [p for p in container.demux(stream) if p.pts is not None and not p.is_discard]
        return sorted((p.pts * p.time_base, p.size) for p in found)


def step(job: Job, **more: object) -> events.Event:
    job.forget_request()
    job.journal.append(events.Queued(job=job.id, task="copy", name="clip"))
    run_job(job, **more)
    return [event for event, _ in job.journal.read()][-1]


@pytest.mark.parametrize("make", [plain, turned, variable, delayed, silent])
def test_a_copy_keeps_frames_times_and_sound_across_a_stop(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    clip = tmp_path / "clip.mp4"
    make(clip)
    job = Job.create(tmp_path / "jobs", "copy", (clip,), CopySettings(engine="builtin"), 1)
    looks = iter([False] * 300 + [True] * 10**6)
    assert step(job, closing=lambda: next(looks)).type == "paused", "in the middle of the prepass"
    looks = iter([False] * 600 + [True] * 10**6)
    assert step(job, closing=lambda: next(looks)).type == "paused", "in the middle of the frames"
    assert len(list((job.folder / "segments").iterdir())) == 1
    done = step(job)
    assert done.type == "done", done
    result = done.outputs.result

    before, after = probe(clip), probe(result)
    assert (after.frames, after.width, after.height) == (before.frames, before.width, before.height)
    assert [time for time, _ in packets(result, "video")] == pytest.approx(
        [float(before.timeline.time(i)) for i in range(before.frames)], abs=5e-4
    )
    assert packets(result, "audio") == packets(clip, "audio")
    if make is not variable:
        assert after.frame_rate == Fraction(30000, 1001)
    worst = min(
        psnr(a.luma(), b.luma()) for a, b in zip(read_frames(before), read_frames(after), strict=True)
    )
    assert worst > 30, "each frame at its place"


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def test_stopped_and_unstopped_copies_are_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    clip = tmp_path / "clip.mp4"
    plain(clip)
    whole = Job.create(tmp_path / "whole", "copy", (clip,), CopySettings(engine="builtin"), 1)
    cut = Job.create(tmp_path / "cut", "copy", (clip,), CopySettings(engine="builtin"), 1)
    want = step(whole).outputs.result.read_bytes()
    looks = iter([False] * 900 + [True] * 10**6)
    assert step(cut, closing=lambda: next(looks)).type == "paused"
    assert step(cut).outputs.result.read_bytes() == want


def test_a_part_is_a_part(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    plain(clip)
    job = Job.create(tmp_path / "jobs", "copy", (clip,), CopySettings(engine="builtin", start=2, end=5), 1)
    result = probe(step(job).outputs.result)
    assert result.frames == 90
    assert float(result.timeline.time(0)) == 0


def test_a_frame_that_decodes_differently_is_refused(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    plain(clip)
    job = Job.create(tmp_path / "jobs", "copy", (clip,), CopySettings(engine="builtin"), 1)
    step(job)
    path = job.folder / "state/checksums/00000240-00000480.npy"
    sums = np.load(path)
    sums[10] ^= 1
    np.save(path, sums)
    job.journal.append(
        events.Segment(job=job.id, start=240, stop=480, path=path, files=describe(job.folder, [path]))
    )
    (job.folder / "segments/00000240-00000480.mp4").unlink()
    failed = step(job)
    assert failed.type == "failed" and "Frame 250" in failed.message


def test_what_the_result_cannot_keep_is_told_before_the_first_frame_and_once(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    ffmpeg(*PICTURE, *SOUND, "-t", "2", *FAST, "-c:a", "wmav2", clip)
    job = Job.create(tmp_path / "jobs", "copy", (clip,), CopySettings(engine="builtin"), 1)
    assert step(job).type == "done"
    told = [event for event, _ in job.journal.read()]
    kinds = [event.type for event in told]
    assert kinds.count("warning") == 1
    assert "re-encoded to AAC" in told[kinds.index("warning")].message
    assert kinds.index("warning") < kinds.index("segment")


def test_repaired_times_are_told_before_the_first_frame(tmp_path: Path) -> None:
    plain, clip = tmp_path / "plain.mp4", tmp_path / "clip.mkv"
    ffmpeg(*PICTURE, "-t", "2", *FAST, plain)
    earlier: int | None = None
    with av.open(str(plain)) as source, av.open(str(clip), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            packet.stream = stream
            if number == 30:
                packet.pts = packet.dts = earlier
            earlier = packet.pts
            target.mux(packet)
    job = Job.create(tmp_path / "jobs", "score", (clip,), ScoreSettings(engine="builtin"), 1)
    assert step(job).type == "done"
    told = [event for event, _ in job.journal.read()]
    warnings = [event.message for event in told if event.type == "warning"]
    assert len(warnings) == 1 and "frame 30" in warnings[0]
