"""What a view looks like: text from outside stays text, numbers stay bounded."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from memory.units import GIB
from pipelines.animation.takes.rest import REASONS
from pipelines.errors import NotAVideo
from pipelines.jobs import events
from pipelines.jobs.events import Planned
from pipelines.scheduler.janitor import Notice
from ui.i18n.catalogue import speaking
from ui.i18n.texts import label_en
from ui.i18n.words import FIELDS_ZH, LIVE, STATIC
from ui.jobs.listing import Entry
from ui.jobs.view import JobView, Status
from ui.render import film, job, jobs, media
from ui.render.card import codec_name
from ui.reports import score
from ui.reports.view import read_report

EVIL = '<img src=x onerror="alert(1)">${alert(2)}{{value}}`.mp4'


def test_a_file_name_with_html_in_it_is_shown_as_text(plan: Planned) -> None:
    named = plan.model_copy(update={"facts": plan.facts.model_copy(update={"name": EVIL, "codec": EVIL})})
    for html in (
        job.card(named, "/cache/" + EVIL),
        job.strip(JobView(Status(name=EVIL, messages=(EVIL,), stage=EVIL, state="running"))),
        job.strip(JobView(Status(name=EVIL, state="failed", message=EVIL, code="bad_input"))),
        job.refusal(NotAVideo(EVIL)),
    ):
        assert "<img" not in html
        assert 'onerror="alert' not in html


def test_the_templates_are_given_numbers_only(plan: Planned) -> None:
    view = JobView().after(plan).after(events.Queued(job="a", task="score", name=EVIL))
    assert EVIL not in json.dumps([job.gauge(view), job.curve(view)])
    assert "{{" not in job.GAUGE + job.CURVE, "Gradio would put a value there before it is read as code"


@pytest.mark.parametrize(
    ("position", "waits_for", "told"),
    [(0, "turn", "next"), (0, "room", "waits_for_room"), (2, "turn", "ahead")],
)
def test_a_waiting_job_says_what_for(position: int, waits_for: Any, told: str) -> None:
    queued = events.Queued(job="a", task="score", name="a", position=position, waits_for=waits_for)
    view = JobView().after(queued)
    assert LIVE[told][0] in job.strip(view)
    assert [line.keys[0] for _, line in view.log] == ["queued_room" if waits_for == "room" else "queued"]


@pytest.mark.parametrize(
    ("bits", "kind", "told"),
    [
        (8, "SDR", "H.265 (HEVC)"),
        (10, "SDR", "H.265 (HEVC) · 10 bit"),
        (10, "HDR10", "H.265 (HEVC) · 10 bit · HDR10"),
    ],
)
def test_the_card_says_depth_and_dynamic_range(bits: int, kind: str, told: str, plan: Planned) -> None:
    facts = plan.facts.model_copy(update={"codec": "hevc", "bit_depth": bits, "dynamic_range": kind})
    assert f"<dd>{told}</dd>" in job.card(plan.model_copy(update={"facts": facts}), "/cache/clip.mp4")


@pytest.mark.parametrize("state", ["queued", "running", "done", "failed", "paused", "cancelled"])
def test_every_state_is_told_in_both_languages(state: Any) -> None:
    html = job.strip(JobView(Status(state=state, view="v", edit="e")))
    assert all(text in html for text in LIVE[f"state.{state}"])


@pytest.mark.parametrize("risk", ["low", "medium", "high", "cannot"])
def test_every_risk_is_told_in_both_languages(risk: Any, plan: Planned) -> None:
    html = job.card(plan.model_copy(update={"risk": risk}), "/cache/clip.mp4")
    assert all(text in html for text in LIVE[f"risk.{risk}"])


def test_the_strip_tells_stage_frames_pace_and_time() -> None:
    status = Status(state="running", stage="score", done=1200, total=5000, fps=98.4, eta_seconds=3725)
    html = job.strip(JobView(status))
    assert 'max="5000" value="1200"' in html
    assert "1,200 / 5,000" in html and "98.4 fps" in html and "1:02:05" in html


def test_the_strip_tells_how_many_workers_there_are_before_the_first_frame_and_later() -> None:
    for stage in ("", "score"):
        status = Status(state="running", stage=stage, workers=3, workers_wanted=4)
        assert "3 of 4 workers" in job.strip(JobView(status))
    assert "workers" not in job.strip(JobView(Status(state="running")))


def test_the_gauge_has_a_bar_for_the_device_only_where_the_plan_uses_one(plan: Planned) -> None:
    assert len(job.gauge(JobView().after(plan))["bars"]) == 1
    both = job.gauge(JobView().after(plan.model_copy(update={"predicted_device_bytes": 5})))
    assert [bar["device"] for bar in both["bars"]] == [False, True]


@pytest.mark.parametrize(
    ("now", "peak", "predicted", "limit", "scale"),
    [
        (0, 0, 0, 1, 1),
        (1, 2, 3, 1000, 6),
        (1, 400, 300, 500, 500),
        (1, 700, 300, 500, 700),
    ],
)
def test_nothing_on_the_gauge_lies_outside_it(
    now: int, peak: int, predicted: int, limit: int, scale: int
) -> None:
    status = Status(
        host_bytes=now, host_peak_bytes=peak, host_predicted_bytes=predicted, host_limit_bytes=limit
    )
    (bar,) = job.gauge(JobView(status))["bars"]
    assert bar["scale"] == scale


def test_there_is_no_gauge_before_there_is_a_plan() -> None:
    assert job.gauge(JobView())["bars"] == []


@pytest.mark.parametrize(("frame", "done", "last"), [(None, 0, 0), (9, 10, 39), (109, 10, 139), (39, 40, 39)])
def test_the_curve_ends_at_the_last_frame_wherever_the_job_begins(
    frame: int | None, done: int, last: int
) -> None:
    assert job.curve(JobView(Status(frame=frame, done=done, total=40)))["last"] == last


@pytest.mark.parametrize(
    ("task", "engine", "shown"),
    [
        ("score", "builtin", "score"),
        ("score", "qalign", "score/qalign"),
        ("inpaint", "propainter", "inpaint"),
        ("animate", "liveportrait", "animate/liveportrait"),
    ],
)
def test_the_curve_says_what_it_shows(task: str, engine: str, shown: str) -> None:
    kind = job.curve(JobView(Status(task=task, engine=engine)))["kind"]
    assert list(job.CURVES)[kind] == shown


def test_a_preview_that_is_gone_is_no_error(tmp_path: Path) -> None:
    view = JobView(preview=events.Preview(job="a", frame=3, path=tmp_path / "none.jpg"))
    assert media.latest(view) == ""
    (tmp_path / "none.jpg").write_bytes(b"picture")
    assert "data:image/jpeg;base64,cGljdHVyZQ==" in media.latest(view)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(3.21, "3.2 s"), (9.96, "0:10"), (59.6, "1:00"), (750, "12:30"), (3723, "1:02:03")]
)
def test_clock(seconds: float, shown: str) -> None:
    assert job.clock(seconds) == shown


def test_a_report_is_told_in_words(report: dict[str, Any], tmp_path: Path) -> None:
    html = score.describe(report)
    assert "No blurred or frozen frames." in html and "<ul" not in html
    extent = {"start": 10, "stop": 15, "start_seconds": 0.4, "stop_seconds": 0.6}
    interval = {**extent, "severity": "severe", "drop": 0.5}
    report["summary"]["blurred"] = {"frames": 5, "ratio": 0.125, "interval_count": 1, "intervals": [interval]}
    html = score.describe(report)
    assert "Blurred: 5 frames (12.5 %) in 1 stretch. Frozen: none." in html
    assert "<time>0:00.400 – 0:00.600</time>" in html and "severe" in html and "严重" in html
    assert "more:" not in html
    report["summary"]["frozen"] = {"frames": 60, "ratio": 1.0, "run_count": 12, "runs": [extent] * 12}
    html = score.describe(report)
    assert html.count("<time>0:00.400 – 0:00.600</time>") == 11
    assert html.count("frozen, 5 frames") == 10 and "And 2 more" in html
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert read_report(tmp_path / "report.json") == html


def test_figures_that_were_not_computed_are_dashes(report: dict[str, Any]) -> None:
    report["summary"]["motion"]["jerkiness"] = None
    assert "<dd>–</dd>" in score.describe(report)


@pytest.mark.parametrize("named", [True, False])
def test_what_was_removed_is_told_to_others_without_names(named: bool) -> None:
    gone = [Notice(time=0.0, job="a", name=EVIL, freed_bytes=GIB)] * 2
    html = jobs.jobs([], gone, named=named)
    assert ("onerror=" in html) is named and "<img" not in html
    assert "GB" in html and (named or "2 · 2.00 GB" in html)


def test_who_may_only_look_gets_the_link_for_that_and_no_buttons() -> None:
    looks = job.strip(JobView(Status(job="a1", key="v", view="v", state="running")))
    assert 'href="?job=a1&amp;key=v"' in looks and looks.count("<a ") == 1 and 'data-can="look"' in looks
    acts = job.strip(JobView(Status(job="a1", key="e", view="v", edit="e", state="running")))
    assert acts.index("key=v") < acts.index("key=e") and 'data-can="stop"' in acts


def test_a_row_leads_to_its_job_and_says_what_can_be_done() -> None:
    entry = Entry(
        job="a1",
        key="e",
        view="k",
        edit="e",
        name=EVIL,
        task="score",
        state="paused",
        position=None,
        created=0.0,
    )
    html = jobs.jobs([entry], [], named=True)
    assert 'href="?job=a1&amp;key=k"' in html and "<img" not in html and LIVE["jobs.resume"][0] in html
    assert LIVE["jobs.none"][0] in jobs.jobs([], [], named=True)


def test_a_removal_and_a_check_are_told_in_words(tmp_path: Path) -> None:
    path, video = tmp_path / "report.json", {"name": EVIL}
    fill = {"frames": 40, "frames_filled": 30, "mean_hole_share": 0.05, "mean_invented_share": 0.015}
    told = {"task": "inpaint", "summary": fill, "lost": [[3, 5], [9, 10]], "video": video}
    path.write_text(json.dumps(told))
    for part in (
        "30 <small>/ 40",
        "5.0 %",
        "1.5 %",
        "<dd>3</dd>",
        'data-turn="3"',
        "3 – 4<",
        'data-turn="9"',
    ):
        assert part in read_report(path)
    assert "<img" not in read_report(path)
    masks = {"frames": 40, "frames_marked": 39, "frames_lost": 2, "mean_area_share": 0.07}
    path.write_text(json.dumps({"task": "track", "summary": masks, "lost": [], "video": video}))
    for part in ("39 <small>/ 40", "7.0 %", "<dd>2</dd>"):
        assert part in read_report(path)
    assert "data-turn" not in read_report(path), "nothing was lost"


def test_an_animation_tells_where_it_held_still_and_where_the_driving_cuts(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    summary: dict[str, Any] = {"faces": 1, "frames_at_rest": 50}
    told = {"task": "animate", "frames": 100, "summary": summary, "warnings": [f"{EVIL} Raise --quality."]}
    path.write_text(json.dumps(told))
    html = read_report(path)
    assert "50 <small>/ 100" in html and "<img" not in html
    assert f"“{FIELDS_ZH['quality'][0]}”" in html and "--quality" not in html
    assert LIVE["report.rest_at"][0] not in html
    rest = {"frames": [50, 100], "seconds": [2.0, 4.0], "reason": "covered"}
    summary |= {
        "rest": [rest] * 30,
        "rest_count": 2000,
        "cuts": [{"frame": 25, "seconds": 61.5}],
        "cut_count": 1,
        "most_growth_percent": 33.4,
    }
    path.write_text(json.dumps(told))
    html = read_report(path)
    for part in (
        *("0:02.000 – 0:04.000", "50 – 99", "1:01.500", "+ 1,976", "33 %"),
        *(text for key in ("rest.covered", "report.rest_at", "report.cut_at") for text in LIVE[key]),
    ):
        assert part in html, part


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_of_rest_has_words_on_the_page_and_the_same_in_the_warning(reason: str) -> None:
    assert LIVE[f"rest.{reason}"][0] == REASONS[reason]


def test_a_side_without_a_face_says_so_in_the_words_of_the_page() -> None:
    missing = [{"side": "source", "smallest_px": 48}, {"side": "driving", "smallest_px": None}]
    html = media.faces("faces.jpg", [], missing)
    assert "No face of at least 48 pixels was found in the portrait" in html and "至少 48 像素" in html
    for key, field in (("source", "source_box"), ("driving", "driving_box")):
        assert f"“{label_en(field, '')}”" in html and f"“{FIELDS_ZH[field][0]}”" in html, key
    assert STATIC["longtake_faces"][0] in html and STATIC["longtake_faces"][1] in html
    assert "--" not in html and "figcaption" not in html
    assert "alert" not in media.faces("faces.jpg", [])


def test_the_pose_panel_says_what_transparent_parts_show() -> None:
    assert "lt-note" not in media.posed("posed.jpg")
    html = media.posed("posed.jpg", "#00b140")
    assert "transparent parts. They are #00b140 here" in html and "此处显示为 #00b140" in html
    english, chinese = STATIC["longtake_pose_info"]
    assert f"“{label_en('background', '')}”" in english and f"“{FIELDS_ZH['background'][0]}”" in chinese


def test_a_portrait_that_cannot_be_used_says_why_and_what_to_change() -> None:
    for side, words in (
        (
            {"side": "source", "smallest_px": 31},
            ("No face of at least 31 pixels", "“Source box”", "至少 31 像素"),
        ),
        ({"side": "source", "smallest_px": None}, ("No face was found", "“Source box”", "没有找到人脸")),
        ({"side": "source", "smallest_px": 31, "faces": 2}, ("fewer faces (2)", "“Faces”", "只有 2 张")),
    ):
        blocked, doubtful = (media.missing_source(side, blocks=blocks) for blocks in (True, False))
        assert all(word in html for word in words for html in (blocked, doubtful))
        assert "cannot be animated" in blocked and "无法生成动画" in blocked and 'role="alert"' in blocked
        assert "may fail" in doubtful and "cannot be animated" not in doubtful


def test_a_report_of_a_task_without_a_module_of_its_own_is_a_list_of_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    summary = {"most_heat": 1.25, "name": EVIL, "details": {"left": "out"}, "whole": True}
    path.write_text(json.dumps({"task": "none_such", "summary": summary, "warnings": [EVIL]}))
    html = read_report(path)
    for part in ("<dt>Most heat</dt><dd>1.25</dd>", "<dd>True</dd>", "&lt;img src=x", LIVE["report"][1]):
        assert part in html
    assert "<img" not in html and "left" not in html


def test_films_and_pictures_are_addressed_in_the_cache() -> None:
    path = '/cache/k/a "b".mp4'
    shown = film.player(film.Film(path))
    for html in (shown, media.segment(path, 0, 240), media.waiting(path), film.take(path, "")):
        assert "gradio_api/file=/cache/k/a%20%22b%22.mp4" in html
    html = media.pictures(["/c/report.png", "/c/worst-00000007.jpg"])
    assert html.count("<img") == 2 and "Frame" in html and " 7<" in html
    assert "lt-worst" not in media.pictures(["/c/report.png"])
    assert " 7 · 0:00.280<" in media.pictures(["/c/worst-00000007.jpg"], {7: 0.28})


def test_silence_is_told_in_both_languages() -> None:
    status = Status(state="running", stage="fill", fps=500.0, eta_seconds=6.5, silent_seconds=12)
    html = job.strip(JobView(status))
    assert "no progress for 12 s" in html and "12 秒没有进展" in html
    assert "fps" not in html and "left" not in html, "what was true before the silence"
    assert "no progress" not in job.strip(JobView(Status(state="running", stage="fill")))


def test_warnings_of_a_report_are_said_once_and_in_the_language_of_the_visitor(tmp_path: Path) -> None:
    sentences = [f"Cut number {number}." for number in range(7)]
    path = tmp_path / "report.json"
    summary = {"faces": 1, "frames_at_rest": 0}
    path.write_text(json.dumps({"task": "animate", "frames": 9, "summary": summary, "warnings": sentences}))
    view = JobView()
    for sentence in sentences:
        view = view.after(
            events.Warned(job="a", code="cut", message=sentence, key="again", values={"count": 3})
        )
    assert len(view.status.messages) == len(job.newest_notes(view)) == 5
    with speaking("zh"):
        html = job.notes(view) + read_report(path, view.notes, job.newest_notes(view))
    assert "Cut number" not in html and html.count("lt-note") == len(sentences)


def test_the_card_says_first_what_people_ask_and_folds_the_machines_words(plan: Planned) -> None:
    first, _, folded = job.card(plan.model_copy(update={"engine": "flowwarp"}), "/c/clip.mp4").partition(
        "<details"
    )
    for word in ("flowwarp", "h264", "Preset", "H.264"):
        assert word not in first
    assert (
        f"{LIVE['engine.builtin'][0]}" in folded and "<code>flowwarp</code>" in folded and "H.264" in folded
    )
    assert LIVE["risk.low"][0] in first, "whether it fits is no detail"


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("vp9", "VP9"),
        ("av1", "AV1"),
        ("aac", "AAC"),
        ("pcm_s16le", "PCM"),
        ("<i>", "&lt;I&gt;"),
        ("opus", "Opus"),
    ],
)
def test_codecs_have_the_names_by_which_people_know_them(codec: str, name: str) -> None:
    assert codec_name(codec) == name


def test_the_log_is_in_the_language_of_the_visitor(plan: Planned) -> None:
    view = JobView()
    for event in (
        events.Queued(job="a", task="score", name="clip.mp4", position=2),
        events.Started(job="a", worker_pid=1),
        plan,
        events.Segment(job="a", start=0, stop=40, path=Path("/j/a/0.mkv")),
        events.Done(job="a", outputs=events.Outputs()),
    ):
        view = view.after(event)
    with speaking("zh"):
        told = job.log_lines(view)
    assert (
        "前面有 2 个" in told
        and "第 0–39 帧" in told
        and "已规划" in told
        and not re.search("[a-z]{6}", re.sub("<.*?>", "", told))
    )
    with speaking("en"):
        assert "frames 0 to 39 are on disk" in job.log_lines(view)
