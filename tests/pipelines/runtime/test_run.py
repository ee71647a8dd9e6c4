"""The loop's promises, on a pipeline without pixels: nothing twice, nothing lost, always one ending."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from memory import peaks
from memory.plan import Load
from memory.process_tree import reset_own_peak
from memory.units import GIB, MIB
from pipelines.errors import DamagedVideo
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.runtime import planning, preparation, reporter
from pipelines.runtime.memory_watch import MemoryWatch
from pipelines.runtime.run import run_job
from pipelines.stages import rungs_of

from ..conftest import Bench, Numbers

SQUARES = [i * i for i in range(35)]


def run(bench: Bench, **more: object) -> list[Event]:
    """Queue and run the job; the events of this run."""
    before = len(list(bench.job.journal.read()))
    bench.job.journal.append(events.Queued(job=bench.job.id, task="score", name="clip"))
    run_job(bench.job, **more)
    return [event for event, _ in bench.job.journal.read()][before + 1 :]


def only(heard: list[Event], kind: type) -> list:
    return [event for event in heard if isinstance(event, kind)]


def at(frame: int, do: Callable[[], None], times: int = 1) -> Callable[[int], None]:
    """Call `do` before frame `frame`, the first `times` times."""
    left = [times]

    def before(now: int) -> None:
        if now == frame and left[0]:
            left[0] -= 1
            do()

    return before


def raising(error: BaseException) -> Callable[..., None]:
    def do(*_: object) -> None:
        raise error

    return do


def test_a_run_tells_its_story_in_order_and_ends_once(bench: Bench) -> None:
    heard = run(bench)
    kinds = [event.type for event in heard if event.type not in ("memory", "progress", "preview")]
    assert kinds == ["started", "planned", "segment", "segment", "segment", "segment", "done"]
    assert bench.result() == SQUARES
    assert only(heard, events.Progress) and only(heard, events.Preview) and only(heard, events.Memory)
    assert heard[-1].outputs.memory.is_file() and (bench.job.folder / "memory.png").is_file()


def test_a_finished_span_tells_its_curve(bench: Bench) -> None:
    curves = [event.curve for event in only(run(bench), events.Segment)]
    assert curves[0] == tuple((frame, float(frame * frame)) for frame in range(10))
    assert curves[3][-1] == (34, 34.0**2)


def test_a_long_span_tells_a_few_means(bench: Bench) -> None:
    points = reporter.thinned(1000, [float(i) for i in range(240)])
    assert len(points) == 24
    assert points[0] == (1005, 4.5) and points[-1] == (1235, 234.5)
    assert reporter.thinned(0, []) == ()


def test_neighbouring_spans_are_one_chain(bench: Bench) -> None:
    run(bench)
    assert [start for start, _ in bench.stage.chains] == [0]
    assert bench.stage.open_chains == 0


def test_what_is_finished_is_never_computed_again(bench: Bench) -> None:
    bench.stage.before = at(23, raising(RuntimeError("a fault")))
    run(bench)
    assert bench.stage.computed == list(range(23))
    bench.stage.computed.clear()
    planned = only(run(bench), events.Planned)[0]
    assert planned.frames_kept == 20
    assert bench.stage.computed == list(range(20, 35))
    assert bench.result() == SQUARES


def test_a_hole_in_the_middle_is_filled_alone(bench: Bench) -> None:
    run(bench)
    (bench.job.folder / "segments/00000010-00000020.txt").unlink()
    bench.stage.computed.clear()
    run(bench)
    assert bench.stage.computed == list(range(10, 20))
    assert bench.result() == SQUARES


def test_a_span_whose_companions_are_missing_is_computed_again(bench: Bench) -> None:
    run(bench)
    bench.stage.computed.clear()
    bench.stage.files_beside = lambda job, span: (bench.job.folder / "gone",) * (span.start == 20)
    (bench.job.folder / "gone").touch()
    assert only(run(bench), events.Planned)[0].frames_kept == 25
    assert bench.stage.computed == list(range(20, 30))
    assert bench.result() == SQUARES


def test_a_pipeline_looks_at_what_it_needs_before_the_first_frame(bench: Bench) -> None:
    seen = []
    bench.pipeline.checked = lambda job: (seen.append(job.inputs), raising(DamagedVideo("No.", "Yes."))())
    heard = run(bench)
    assert heard[-1].code == "damaged_video" and not only(heard, events.Planned)
    assert seen == [(bench.clip,)] and bench.stage.computed == []


def test_a_prepass_is_kept_and_resumed_like_a_span(bench: Bench) -> None:
    prepass = Numbers(name="look", folder="state/look")
    prepass.before = at(15, raising(RuntimeError("a fault")))
    bench.pipeline.stages = (prepass, bench.stage)
    run(bench)
    assert bench.stage.computed == []
    prepass.computed.clear()
    run(bench)
    assert prepass.computed == list(range(10, 35))
    assert bench.stage.computed == list(range(35))
    assert len(list((bench.job.folder / "state/look").iterdir())) == 4


def test_the_ladder_of_the_last_stage_is_that_of_frames_whoever_asks() -> None:
    """Some pipelines make their stages anew whenever they are asked."""

    class Pipeline:
        @property
        def engine(self) -> "Pipeline":
            return self

        @property
        def stages(self) -> tuple[Numbers, ...]:
            return Numbers(name="look", folder="state/look"), Numbers()

        def rungs(self, *, prepass: bool) -> tuple[str, ...]:
            return ("of a prepass",) if prepass else ("of frames",)

    pipeline: Any = Pipeline()
    assert [rungs_of(stage, pipeline) for stage in pipeline.stages] == [("of a prepass",), ("of frames",)]


WORDINGS = ["CUDA out of memory. Tried to allocate 2.00 GiB", "DefaultCPUAllocator: can't allocate memory"]


@pytest.mark.parametrize("error", [MemoryError(), *map(RuntimeError, WORDINGS)])
def test_when_memory_ends_the_same_frame_is_computed_with_less(bench: Bench, error: Exception) -> None:
    bench.stage.before = at(13, raising(error), times=3)
    heard = run(bench)
    assert bench.stage.computed == list(range(35)), "nothing finished is repeated"
    assert bench.stage.chains == [(0, 8), (13, 8), (13, 4), (13, 2)]
    steps = only(heard, events.Degraded)
    assert [(s.frame, s.rung, s.change) for s in steps] == [
        (13, "retry", "exact"),
        (13, "halve window", "exact"),
        (13, "halve window", "exact"),
    ]
    assert bench.result() == SQUARES


def test_when_nothing_smaller_is_left_the_job_fails_and_keeps_its_spans(bench: Bench) -> None:
    bench.stage.before = at(13, raising(MemoryError()), times=99)
    failed = run(bench)[-1]
    assert isinstance(failed, events.Failed)
    assert (failed.code, failed.exit_code) == ("not_enough_memory", 3)
    assert (bench.job.folder / "segments/00000000-00000010.txt").exists()
    assert bench.stage.open_chains == 0


def test_a_plan_that_cannot_be_kept_is_refused_before_the_first_frame(bench: Bench) -> None:
    bench.pipeline.load = Load(fixed=10_000 * GIB)
    heard = run(bench)
    assert only(heard, events.Planned)[0].risk == "cannot"
    assert heard[-1].code == "not_enough_memory" and "10000.00 GiB" in heard[-1].message
    assert bench.stage.computed == []


def test_a_disk_that_is_too_small_is_refused_before_the_first_frame(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.pipeline, "disk_bytes", lambda frames: 10**18)
    assert run(bench)[-1].code == "not_enough_disk"
    assert bench.stage.computed == []


def test_a_disk_that_fills_up_ends_the_job_in_plain_words(bench: Bench) -> None:
    bench.stage.before = at(25, raising(OSError(errno.ENOSPC, "No space left on device")))
    failed = run(bench)[-1]
    assert (failed.code, failed.exit_code) == ("not_enough_disk", 3)
    assert len(list((bench.job.folder / "segments").iterdir())) == 2


def test_the_plan_is_kept_with_the_job_and_used_again(bench: Bench) -> None:
    bench.stage.before = at(5, raising(RuntimeError("a fault")))
    run(bench)
    bench.pipeline.sizes = (99,)
    run(bench)
    assert [window for _, window in bench.stage.chains] == [8, 8]


def test_the_first_span_corrects_a_prediction_that_was_too_low(bench: Bench) -> None:
    bench.pipeline.load = Load(fixed=1, per_window_pixel=1)
    first, second = only(run(bench), events.Planned)
    assert first.predicted_host_bytes < MIB
    assert second.predicted_host_bytes >= 2**24 and second.frames_kept == 10


def test_what_turns_out_not_to_fit_goes_on_with_less(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.runtime.memory_watch.MemoryWatch.peak_host_bytes", 10**16)
    heard = run(bench)
    assert only(heard, events.Planned)[1].risk == "cannot"
    assert [(s.frame, s.rung) for s in only(heard, events.Degraded)] == [(10, "retry")]
    assert bench.result() == SQUARES


def with_limit(bench: Bench, limit_gb: float) -> None:
    record = bench.job.record()
    bench.job.save(record.model_copy(update={"asked": {**record.asked, "ram_limit_gb": limit_gb}}))


def test_a_limit_that_is_about_to_be_passed_ends_the_job_before(bench: Bench, monkeypatch) -> None:
    bench.pipeline.load = Load(fixed=1)
    with_limit(bench, 0.01)
    bench.stage.before = at(5, lambda: bench.stage.sampled.wait(100))
    listen_to_readings(bench, monkeypatch)
    failed = run(bench)[-1]
    assert (failed.code, failed.exit_code) == ("not_enough_memory", 3)
    assert "limit of 0.01 GiB" in failed.message and "--ram-limit-gb" in failed.hint


def test_a_machine_that_runs_low_is_told_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.runtime.memory_watch._PRESSURE_BYTES", 10**18)
    monkeypatch.setattr("pipelines.runtime.memory_watch._PRESSURE_FRACTION", 10)
    warned = only(run(bench), events.Warned)
    assert [w.code for w in warned] == ["memory_pressure"]


def test_an_input_that_changed_since_is_refused(bench: Bench) -> None:
    bench.clip.write_bytes(b"another film")
    failed = run(bench)[-1]
    assert (failed.code, failed.exit_code) == ("input_changed", 2)


def test_a_device_limit_is_given_to_the_allocator(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, str]] = []
    monkeypatch.setattr(preparation, "limit_device", lambda *limit: limits.append(limit))
    run(bench)
    assert limits == [], "no limit, no call"
    record = bench.job.record()
    bench.job.save(record.model_copy(update={"asked": {**record.asked, "vram_limit_gb": 3}}))
    run(bench)
    assert limits == [(3 * GIB, "cpu")]


@pytest.mark.parametrize(("network", "threads"), [(True, [4, 4]), (False, [])])
def test_a_network_on_the_cpu_keeps_its_number_of_threads_on_another_machine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, network: bool, threads: list[int]
) -> None:
    fixed: list[int] = []
    monkeypatch.setattr(preparation, "fix_threads", fixed.append)
    bench.pipeline.network = network
    bench.stage.before = at(15, raising(RuntimeError("a fault")))
    for cores in (4, 16):
        monkeypatch.setattr(planning, "schedulable_cores", lambda cores=cores: cores)
        run(bench)
    assert fixed == threads


def test_a_worker_leaves_at_once_and_its_last_word_is_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.pipeline.load = Load(fixed=1)
    with_limit(bench, 0.01)
    left = threading.Event()
    bench.stage.before = at(5, lambda: left.wait(100))
    heard: list[Event] = []
    run(bench, leave=left.set, echo=heard.append)
    assert left.is_set()
    assert next(e for e in heard if e.type == "failed").code == "not_enough_memory"


def listen_to_readings(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stage wait for the reading that finds the limit passed."""
    bench.stage.sampled = threading.Event()
    on_level = MemoryWatch._on_level

    def heard(self: MemoryWatch, level: str, reading: object) -> None:
        on_level(self, level, reading)
        if level == "hard":
            bench.stage.sampled.set()

    monkeypatch.setattr(MemoryWatch, "_on_level", heard)


def test_a_known_error_keeps_its_code_and_hint(bench: Bench) -> None:
    bench.stage.before = at(3, raising(DamagedVideo("Frame 3 is broken.", "Use --salvage.")))
    failed = run(bench)[-1]
    assert (failed.code, failed.hint, failed.exit_code) == ("damaged_video", "Use --salvage.", 2)


def test_what_nobody_foresaw_ends_the_job_and_not_the_worker(bench: Bench) -> None:
    bench.stage.before = at(3, raising(ZeroDivisionError("division by zero")))
    failed = run(bench)[-1]
    assert (failed.code, failed.exit_code) == ("internal", 1)
    assert "ZeroDivisionError" in failed.message


def test_a_video_that_ends_early_is_damaged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = bench.stage.compute
    monkeypatch.setattr(bench.stage, "compute", lambda job, start, stop: compute(job, start, min(stop, 20)))
    failed = run(bench)[-1]
    assert failed.code == "damaged_video" and "frame 20" in failed.message


@pytest.mark.parametrize(("request_", "ending"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_request_stops_the_run_and_a_new_start_goes_on(bench: Bench, request_, ending, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    bench.stage.before = at(12, lambda: bench.job.request(request_))
    assert run(bench)[-1].type == ending
    assert bench.stage.open_chains == 0
    bench.job.forget_request()
    bench.stage.computed.clear()
    assert run(bench)[-1].type == "done"
    assert bench.stage.computed == list(range(10, 35))


def test_a_process_that_wants_to_leave_pauses_the_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    assert run(bench, closing=lambda: len(bench.stage.computed) > 4)[-1].type == "paused"


def test_no_half_file_is_left_when_a_sink_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = type(bench.stage.sink(None, Path("x")))
    monkeypatch.setattr(sink, "close", lambda self: self.path.write_text("half") and 1 / 0)
    assert run(bench)[-1].type == "failed"
    assert list((bench.job.folder / "segments").iterdir()) == []


def test_a_second_runner_waits_and_repeats_nothing(bench: Bench) -> None:
    run(bench)
    heard: list[Event] = []
    bench.stage.computed.clear()
    run_job(bench.job, echo=heard.append)
    assert [event.type for event in heard] == ["done"]
    assert bench.stage.computed == []


def test_a_job_that_cannot_be_locked_or_told_of_fails_by_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Event] = []
    monkeypatch.setattr("pipelines.jobs.job.lock", raising(OSError(errno.ENOSPC, "No space left on device")))
    monkeypatch.setattr(bench.job.journal, "append", raising(OSError(errno.EIO, "Input/output error")))
    run_job(bench.job, echo=heard.append)
    assert [event.code for event in heard] == ["not_enough_disk"] and heard[0].exit_code == 3


def test_every_event_is_echoed_as_it_is_kept(bench: Bench) -> None:
    heard: list[Event] = []
    assert run(bench, echo=heard.append) == heard


def test_often_is_not_too_often(bench: Bench) -> None:
    heard = run(bench)
    assert len(only(heard, events.Progress)) <= 35 / 4, "35 frames in no time: at most four a second"


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (None, None, (0, 35)),
        (0.2, None, (5, 35)),
        (None, 0.21, (0, 6)),
        (0.04, 0.08, (1, 2)),
        (1.36, 9.0, (34, 35)),
    ],
)
def test_a_range_of_time_is_a_range_of_frames(bench: Bench, start, end, frames) -> None:
    settings = bench.job.record().settings.model_copy(update={"start": start, "end": end})
    span = planning.range_of(bench.pipeline.video, settings)
    assert (span.start, span.stop) == frames


def test_a_range_without_frames_is_refused_with_both_numbers(bench: Bench) -> None:
    settings = bench.job.record().settings.model_copy(update={"start": 7.0})
    with pytest.raises(planning.BadInput, match=r"between 7 s and 1\.4 s"):
        planning.range_of(bench.pipeline.video, settings)


class Marks:
    """A high-water mark that a test raises, of a system that can set it back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0
        monkeypatch.setattr(peaks, "own_peak_bytes", lambda: self.now)
        monkeypatch.setattr(peaks, "reset_own_peak", lambda: self.reach(0))

    def reach(self, gib: float) -> None:
        self.now = int(gib * GIB)


@pytest.fixture
def marks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Marks:
    """Marks of a job whose limit no real reading comes near: 1,000 GiB."""
    bench.pipeline.load = Load(fixed=1)
    with_limit(bench, 1000)
    return Marks(monkeypatch)


def test_a_peak_over_the_limit_is_tried_again_once_with_less(bench: Bench, marks: Marks) -> None:
    bench.stage.before = at(5, lambda: marks.reach(1001))
    heard = run(bench)
    degraded = only(heard, events.Degraded)
    assert [(step.frame, step.rung) for step in degraded] == [(6, "halve window")], (
        "the same would pass again"
    )
    (warned,) = only(heard, events.Warned)
    assert warned.code == "limit_passed"
    assert "1001.00 GiB" in warned.message and "limit of 1000 GiB" in warned.message
    assert bench.result() == SQUARES


def test_a_second_peak_over_the_limit_ends_the_job(bench: Bench, marks: Marks) -> None:
    bench.stage.before = lambda frame: marks.reach(1001 if frame >= 12 else 1)
    failed = run(bench)[-1]
    assert (failed.code, failed.exit_code) == ("not_enough_memory", 3)
    assert "1001.00 GiB" in failed.message and "--ram-limit-gb 1112.3 or more" in failed.hint
    assert (bench.job.folder / "segments" / "00000000-00000010.txt").is_file()


def test_a_peak_of_the_last_frame_is_seen(bench: Bench, marks: Marks) -> None:
    bench.stage.before = at(34, lambda: marks.reach(1001))
    heard = run(bench)
    assert [step.frame for step in only(heard, events.Degraded)] == [34]
    assert bench.result() == SQUARES


@pytest.mark.parametrize("where", ["check", "join"])
def test_a_peak_where_nothing_can_be_done_with_less_ends_the_job(
    bench: Bench, marks: Marks, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    real = getattr(bench.pipeline, where)

    def peaks_in(*given: object) -> object:
        marks.reach(1001)
        return real(*given)

    monkeypatch.setattr(bench.pipeline, where, peaks_in)
    failed = run(bench)[-1]
    assert (failed.type, failed.exit_code) == ("failed", 3)
    assert bool(bench.stage.computed) == (where == "join")


def test_without_a_limit_no_peak_matters(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = Marks(monkeypatch)
    bench.stage.before = lambda frame: marks.reach(frame)
    heard = run(bench)
    assert heard[-1].type == "done" and not only(heard, events.Degraded) + only(heard, events.Warned)


def test_a_mark_from_before_the_job_is_not_its_own(
    bench: Bench, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warm worker on a system that cannot set marks back: an earlier job may have held more."""
    monkeypatch.setattr(peaks, "reset_own_peak", lambda: False)
    marks.reach(5000)
    heard = run(bench)
    assert heard[-1].type == "done" and not only(heard, events.Degraded)


def test_marks_of_several_processes_only_warn(
    bench: Bench, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peaks.PeakMarks, "note", lambda self: setattr(self, "sum_bytes", 1001 * GIB))
    heard = run(bench)
    assert heard[-1].type == "done" and not only(heard, events.Degraded)
    assert [(w.code, "same time" in w.message) for w in only(heard, events.Warned)] == [
        ("limit_reached", True)
    ]


@pytest.mark.skipif(not reset_own_peak(), reason="this system does not set marks back")
def test_a_real_peak_between_two_readings_is_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is there and gone between two readings of the meter, which here takes none."""
    monkeypatch.setattr("pipelines.runtime.memory_watch._INTERVAL_SECONDS", 3600)
    bench.pipeline.load = Load(fixed=1)
    before = psutil.Process().memory_info().rss
    with_limit(bench, (before + 200 * MIB) / 0.97 / GIB)

    def peak() -> None:
        assert len(bytearray(b"x") * (400 * MIB))

    bench.stage.before = at(5, peak)
    heard = run(bench)
    assert heard[-1].type == "done"
    assert [step.frame for step in only(heard, events.Degraded)] == [6]
