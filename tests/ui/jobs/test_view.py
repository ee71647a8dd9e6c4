"""A view is a pure fold of events, bounded however long the job is."""

import json
from functools import reduce
from itertools import pairwise
from pathlib import Path

import pytest

from memory.units import GIB, MIB
from pipelines.jobs import events
from pipelines.jobs.events import Event, Outputs, Planned, Progress
from ui.jobs.view import CURVE_POINTS, JobView, LiveCurve, Status

JOB = "0123456789abcdef"


def fold(*told: Event, view: JobView | None = None) -> JobView:
    return reduce(lambda v, event: v.after(event), told, view or JobView())


def progress(done: int, total: int = 40, value: float | None = None) -> Progress:
    return Progress(
        job=JOB,
        stage="score",
        done=done,
        total=total,
        frames_per_second=25.04,
        eta_seconds=1.0,
        frame=done - 1,
        value=value,
    )


QUEUED = events.Queued(job=JOB, task="score", name="clip.mp4", position=2)
STARTED = events.Started(job=JOB, worker_pid=1)


def test_a_job_goes_from_waiting_to_running() -> None:
    waiting = fold(QUEUED).status
    assert (waiting.state, waiting.position, waiting.name, waiting.job) == ("queued", 2, "clip.mp4", JOB)
    running = fold(QUEUED, STARTED, progress(10)).status
    assert (running.state, running.position, running.frame, running.done) == ("running", 0, 9, 10)
    assert (running.total, running.fps, running.eta_seconds) == (40, 25.0, 1.0)


def test_the_plan_and_the_memory_are_told(plan: Planned) -> None:
    status = fold(
        plan,
        events.Memory(
            job=JOB,
            host_bytes=5,
            host_peak_bytes=7,
            host_available_bytes=9,
            device_bytes=1,
            device_peak_bytes=2,
        ),
    ).status
    assert (status.host_predicted_bytes, status.host_limit_bytes) == (200 * MIB, GIB)
    assert (status.host_bytes, status.host_peak_bytes, status.device_bytes, status.device_peak_bytes) == (
        5,
        7,
        1,
        2,
    )
    assert (status.preset, status.risk, status.engine) == ("none", "low", "builtin")


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (events.Done(job=JOB, outputs=Outputs(report=Path("/jobs/report.json"))), "done"),
        (events.Failed(job=JOB, code="damaged_video", message="Broken.", hint="Mend it."), "failed"),
        (events.Paused(job=JOB), "paused"),
        (events.CancelledEvent(job=JOB), "cancelled"),
    ],
)
def test_an_ending_is_a_state_and_leaves_no_time(ending: Event, state: str) -> None:
    status = fold(QUEUED, STARTED, progress(10), ending).status
    assert (status.state, status.eta_seconds) == (state, None)


def test_a_failure_tells_code_message_and_hint() -> None:
    status = fold(events.Failed(job=JOB, code="damaged_video", message="Broken.", hint="Mend it.")).status
    assert (status.code, status.message, status.hint) == ("damaged_video", "Broken.", "Mend it.")


def test_a_finished_job_tells_the_names_of_its_files_not_where_they_lie() -> None:
    view = fold(events.Done(job=JOB, outputs=Outputs(report=Path("/jobs/a/report.json"))))
    assert view.status.outputs == ("report.json",)
    assert view.outputs and view.outputs.report == Path("/jobs/a/report.json")


def test_a_finished_job_has_done_all_its_frames_also_where_the_last_were_too_quick_to_be_told() -> None:
    status = fold(progress(3), events.Done(job=JOB, outputs=Outputs())).status
    assert (status.done, status.total) == (40, 40)


def test_messages_name_the_file_and_not_the_servers_folders() -> None:
    view = JobView(
        inputs=(Path("/srv/jobs/uploads/ab/clip.mp4"), Path("/srv/jobs/uploads/cd/m.zip")),
        jobs_dir=Path("/srv/jobs"),
    )
    warned = events.Warned(job=JOB, code="vfr", message="/srv/jobs/uploads/ab/clip.mp4 has gaps.")
    assert fold(warned, view=view).status.messages == ("clip.mp4 has gaps.",)
    failed = events.Failed(job=JOB, code="x", message="/srv/jobs/uploads/ab/clip.mp4 is cut off.")
    assert fold(failed, view=view).status.message == "clip.mp4 is cut off."
    other = "/srv/jobs/uploads/cd/m.zip does not fit; /srv/jobs/0a/state/x is gone."
    failed = events.Failed(job=JOB, code="x", message=other, hint="Mend /srv/jobs/uploads/cd/m.zip.")
    status = fold(failed, view=view).status
    assert status.message == "m.zip does not fit; 0a/state/x is gone." and status.hint == "Mend m.zip."
    assert not [line for _, line in fold(failed, view=view).log if "/srv" in line]


def test_only_the_newest_warnings_are_held() -> None:
    warned = [events.Warned(job=JOB, code="x", message=str(i)) for i in range(100)]
    assert fold(*warned).status.messages == ("95", "96", "97", "98", "99")


def test_an_earlier_view_is_not_changed_by_a_later_event() -> None:
    before = fold(QUEUED, STARTED, progress(1, value=0.5))
    after = before.after(progress(2, value=0.6))
    assert before.status.done == 1 and len(before.curve.points) == 1
    assert after.status.done == 2 and len(after.curve.points) == 2


def test_every_status_is_plain_json_with_every_field() -> None:
    for view in (JobView(), fold(QUEUED, STARTED, progress(3, value=0.1))):
        told = view.status.model_dump(mode="json")
        assert set(told) == set(Status.model_fields)
        assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize("first", [0, 90_000])
def test_the_curve_of_a_very_long_video_keeps_few_points_and_reaches_its_end(first: int) -> None:
    curve = LiveCurve()
    for frame in range(first, first + 30_000, 3):
        curve = curve.add(frame, frame)
        assert len(curve.points) <= CURVE_POINTS
    frames = [frame for frame, _ in curve.points]
    assert len(frames) > CURVE_POINTS // 3
    assert frames == sorted(set(frames)) and frames[0] == first
    gaps = [b - a for a, b in pairwise(frames)]
    assert max(gaps) < 4 * min(gaps), "evenly thinned"
    assert first + 30_000 - frames[-1] <= 2 * max(gaps)


def test_frames_that_are_computed_again_take_the_place_of_the_first_ones() -> None:
    curve = LiveCurve()
    for frame, value in [(0, 1.0), (10, 2.0), (20, 3.0), (10, 9.0), (20, 8.0)]:
        curve = curve.add(frame, value)
    assert curve.points == ((0, 1.0), (10, 9.0), (20, 8.0))


def test_progress_without_a_value_leaves_the_curve_alone() -> None:
    assert fold(progress(1, value=0.5), progress(2)).curve.points == ((0, 0.5),)


def test_a_spans_means_take_the_place_of_the_values_that_ran_ahead() -> None:
    view = fold(progress(4, 12, 100.0), progress(10, 12, 100.0))
    segment = events.Segment(job="j", start=0, stop=12, path=Path("x"), curve=((2, 1.0), (6, 2.0), (10, 3.0)))
    assert view.after(segment).curve.points == ((2, 1.0), (6, 2.0), (10, 3.0))


def test_spans_that_end_out_of_order_lose_no_points_of_each_other() -> None:
    def segment(start: int, value: float) -> events.Segment:
        curve = tuple((frame, value) for frame in range(start + 5, start + 100, 10))
        return events.Segment(job=JOB, start=start, stop=start + 100, path=Path("x"), curve=curve)

    view = fold(segment(300, 3.0), segment(0, 0.0), segment(200, 2.0), segment(100, 1.0), segment(0, 0.5))
    assert [frame for frame, _ in view.curve.points] == list(range(5, 400, 10))
    assert {value for frame, value in view.curve.points if frame < 100} == {0.5}
    assert {value for frame, value in view.curve.points if frame >= 300} == {3.0}


def test_the_curve_of_spans_in_any_order_is_bounded_and_even() -> None:
    starts = [(37 * i) % 100 * 240 for i in range(100)]
    curve = LiveCurve()
    for start in starts:
        curve = curve.replace_span(start, start + 240, [(start + 10 * i, float(start)) for i in range(24)])
        assert len(curve.points) <= CURVE_POINTS
    frames = [frame for frame, _ in curve.points]
    assert frames == sorted(set(frames)) and frames[0] < 240 and frames[-1] >= 23_760 - 2 * curve.gap
    gaps = [b - a for a, b in pairwise(frames)]
    assert max(gaps) < 4 * min(gaps)


def test_the_workers_are_known_until_they_end() -> None:
    member = events.Member(worker=1, state="busy", stage="fill", start=0, stop=40)
    lost = events.LostMember(
        worker=2, how="said: /secret/jobs/x", key="lost_said", values={"code": 1, "words": "/secret/jobs/x"}
    )
    crew = events.Crewed(job=JOB, wanted=3, members=(member,), lost=(lost,))
    at_work = fold(STARTED, crew, view=JobView(jobs_dir=Path("/secret/jobs")))
    assert (at_work.status.workers, at_work.status.workers_wanted) == (1, 3)
    assert at_work.crew is not None and at_work.crew.members == (member,)
    (told,) = at_work.crew.lost
    assert (told.how, told.values) == ("said: x", {"code": 1, "words": "x"}), "without the server's folders"
    for end in (events.Crewed(job=JOB, wanted=3, members=()), STARTED):
        after = fold(end, view=at_work)
        assert (after.crew, after.status.workers, after.status.workers_wanted) == (None, 0, 0)
