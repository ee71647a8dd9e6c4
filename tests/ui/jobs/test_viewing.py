"""A version for viewing: made once, when asked, of a result that the browser cannot play; deleted with it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import imageio_ffmpeg
import pytest

from pipelines.errors import BadInput
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import CopySettings
from pipelines.workers.in_process import InProcess
from ui.jobs.service import JobService
from ui.server.policy import Policy
from ui.server.visitors import Visitor

HDR = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    queue = JobQueue(tmp_path / "jobs", runner=InProcess())
    yield queue
    queue.close()


def done(queue: JobQueue, job: Job) -> events.Outputs:
    *_, last = queue.listen(job)
    assert isinstance(last, events.Done), last
    return last.outputs


@pytest.fixture
def job(queue: JobQueue, tmp_path: Path) -> Job:
    """One whose result no browser plays: FFV1 of HDR with 10 bits."""
    clip = tmp_path / "clip.mkv"
    source = f"testsrc2=size=64x48:rate=8:duration=1,format=yuv420p10le,{HDR}"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        source,
        "-c:v",
        "ffv1",
        clip,
    ]
    subprocess.run(command, check=True, timeout=60)
    made = queue.submit("copy", clip, CopySettings(codec="ffv1"))
    done(queue, made)
    return made


def test_it_is_made_once_and_found_and_deleted_with_the_result(queue: JobQueue, job: Job) -> None:
    service = JobService(queue, Policy(), grace_seconds=0)
    visitor = Visitor("ann", "ann")
    assert service.viewing.find(job) is None
    made = service.make_viewable(visitor, job)
    done(queue, made)
    path = service.viewing.find(job)
    assert path
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.frames == 8
        assert stream.codec_context.color_trc == 1, "BT.709: no HDR is left"
    assert service.make_viewable(visitor, job) == made
    assert [entry.job for entry in service.jobs(visitor)] == [job.id], "it is no job of the visitor's"
    service.delete(visitor, job)
    assert not made.exists() and not job.exists()


def test_only_a_result_has_one(queue: JobQueue, tmp_path: Path, job: Job) -> None:
    service = JobService(queue, Policy(), grace_seconds=0)
    waiting = Job.create(tmp_path / "jobs", "copy", (tmp_path / "clip.mkv",), CopySettings(crf=9), 1)
    with pytest.raises(BadInput, match="no video"):
        service.viewing.start(waiting, None)


@pytest.mark.parametrize("note", ["../../etc", "", "0" * 32])
def test_a_note_that_leads_nowhere_is_none(queue: JobQueue, job: Job, note: str) -> None:
    service = JobService(queue, Policy(), grace_seconds=0)
    (job.folder / "viewing").write_text(note)
    assert service.viewing.find(job) is None
