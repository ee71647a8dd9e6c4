"""A version for viewing: made once, when asked, of a result that the browser cannot play; deleted with it."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import gradio as gr
import imageio_ffmpeg
import pytest

from pipelines.errors import BadInput
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import CopySettings
from pipelines.workers.in_process import InProcess
from ui.components.run_view import RunView
from ui.jobs.hashing import fingerprint
from ui.jobs.service import JobService
from ui.jobs.view import JobView, Status
from ui.page import I18N
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
    subprocess.run(command, check=True, timeout=300)
    made = queue.submit("copy", clip, CopySettings(codec="ffv1"))
    done(queue, made)
    return made


def test_it_is_made_once_and_found_and_deleted_with_the_result(queue: JobQueue, job: Job) -> None:
    service = JobService(queue, Policy(), grace_seconds=0)
    visitor = Visitor("ann", "ann")
    assert service.viewing.find(job) is None
    made = asyncio.run(service.make_viewable(visitor, job))
    done(queue, made)
    path = service.viewing.find(job)
    assert path
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.frames == 8
        assert stream.codec_context.color_trc == 1, "BT.709: no HDR is left"
    assert asyncio.run(service.make_viewable(visitor, job)) == made
    assert [entry.job for entry in service.jobs(visitor)] == [job.id], "it is no job of the visitor's"
    service.delete(visitor, job)
    assert not made.exists() and not job.exists()


def test_only_a_result_has_one(queue: JobQueue, tmp_path: Path, job: Job) -> None:
    service = JobService(queue, Policy(), grace_seconds=0)
    waiting = Job.create(tmp_path / "jobs", "copy", (tmp_path / "clip.mkv",), CopySettings(crf=9), 1)
    with pytest.raises(BadInput, match="no video"):
        asyncio.run(service.make_viewable(Visitor("ann", "ann"), waiting))


def test_without_it_the_result_stays(queue: JobQueue, job: Job) -> None:
    """The janitor may remove the version alone: the result that it was made of is no upload of its."""
    service = JobService(queue, Policy(), grace_seconds=0)
    made = asyncio.run(service.make_viewable(Visitor("ann", "ann"), job))
    done(queue, made)
    queue.delete(made)
    assert service.viewing.find(job) is None and job.has_result()


def test_an_upload_has_one_that_is_made_once_and_is_no_job_of_the_visitors(
    queue: JobQueue, tmp_path: Path, job: Job
) -> None:
    service = JobService(queue, Policy(), grace_seconds=0)
    visitor, clip = Visitor("ann", "ann"), str(tmp_path / "clip.mkv")
    made = asyncio.run(service.make_upload_viewable(visitor, clip))
    path = done(queue, made).result
    content = asyncio.run(fingerprint(tmp_path / "clip.mkv"))
    assert path and service.viewing.find(content) == path
    assert asyncio.run(service.make_upload_viewable(visitor, clip)) == made
    assert [entry.job for entry in service.jobs(visitor)] == [job.id]
    assert made.record().inputs[0].path.is_relative_to((tmp_path / "jobs" / "uploads").absolute())


def test_a_result_without_a_before_is_not_compared(queue: JobQueue, job: Job) -> None:
    service = JobService(queue, Policy(), grace_seconds=0)
    with pytest.raises(BadInput, match="no frames to compare"):
        asyncio.run(service.make_viewable(Visitor("ann", "ann"), job, "compare"))


def test_a_version_that_cannot_be_made_says_why() -> None:
    async def make(*_: object) -> str:
        return "made"

    async def watch(*_: object) -> AsyncIterator[JobView]:
        yield JobView(Status(state="running", done=3, total=8))
        yield JobView(Status(state="failed", message="The disk <is> full."))

    with gr.Blocks():
        view = RunView(SimpleNamespace(), I18N)
    view._service = SimpleNamespace(
        visitor=lambda request: "ann",
        find_to_act=lambda *_: "job",
        make_viewable=make,
        watch=lambda made, **_: watch(),
    )

    async def shown() -> list[str]:
        updates = [each async for each in view._maker("copy")("?job=1", SimpleNamespace())]
        assert updates.pop() == gr.skip()
        return [html for html, _ in updates]

    making, *_, last = asyncio.run(shown())
    assert "37 %" in making
    assert "could not be made" in last and "The disk &lt;is&gt; full." in last
