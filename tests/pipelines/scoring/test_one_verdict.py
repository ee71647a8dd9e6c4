"""One verdict everywhere: over a folder, table, CSV, reports, page, command line and chart say the same."""

import csv
import json
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from pipelines.__main__ import main
from pipelines.drawing.chart import Chart
from pipelines.scoring.report import chart
from pipelines.video.clock.time_code import time_code, time_range
from ui.reports.view import read_report

from ..cli.in_process import run_commands_here
from .report.shading import shaded

WIDTH, HEIGHT = 640, 360
RATES = {"clean": "24", "blurred": "25", "frozen": "30000/1001", "all": "60"}
PLANTED: dict[str, dict[str, list[tuple[int, int]]]] = {
    "clean": {},
    "blurred": {"blurred": [(12, 18), (40, 44)]},
    "frozen": {"frozen": [(10, 13), (30, 41)]},
    "all": {"blurred": [(15, 21)], "frozen": [(30, 34)], "cut": [(45, 46)]},
}
KINDS = {"blurred": ("intervals", "interval_count"), "frozen": ("runs", "run_count")}

Rows = list[dict[str, str]]


def planted(name: str, draw: Any) -> list[Any]:
    """60 frames of a camera over a picture, with the faults of `PLANTED`; all of them have noise of their own.

    The camera moves by whole pixels, so that frames differ in sharpness by what is planted alone.
    """
    faults = PLANTED[name]
    lumas = pan(draw["scene"](1))
    for cut, _ in faults.get("cut", []):
        lumas[cut:] = pan(draw["scene"](3))[cut:]
    for start, stop in faults.get("blurred", []):
        lumas[start:stop] = [cv2.GaussianBlur(luma, (0, 0), 2) for luma in lumas[start:stop]]
    for start, stop in faults.get("frozen", []):
        lumas[start:stop] = [lumas[start - 1]] * (stop - start)
    return list(draw["noisy"](lumas))


def pan(picture: Any) -> list[Any]:
    return [picture[60 : 60 + HEIGHT, 4 * i : 4 * i + WIDTH] for i in range(60)]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, draw: Any) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name, rate in RATES.items():
        raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", rate, "-i", "-"]
        encode = ["-c:v", "libx264", "-crf", "12", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *raw, *encode, folder / f"{name}.mp4"]
        subprocess.run(command, input=b"".join(luma.tobytes() for luma in planted(name, draw)), check=True)
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def told(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What is told of the folder: by its tables, by each job's files, on the command line, and the charts."""
    target, jobs, charts = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("jobs"), {}
    draw, say = chart.drawn, []

    def kept(title: str, *rest: Any) -> Chart:
        charts[title] = draw(title, *rest)
        return charts[title]

    with pytest.MonkeyPatch.context() as patch:
        run_commands_here(patch)
        patch.setattr(chart, "drawn", kept)
        patch.setattr("pipelines.cli.console.Console.say", lambda console, text: say.append(text))
        assert main(["score", str(films), "-o", str(target), "--jobs-dir", str(jobs)]) == 5
    with (target / "table.csv").open(newline="") as file:
        table = {row["file"]: row for row in csv.DictReader(file)}
    entries = {entry["file"]: entry for entry in json.loads((target / "report.json").read_text())}
    yield {"table": table, "entries": entries, "charts": charts, "lines": say}


@pytest.fixture(params=RATES)
def film(request: pytest.FixtureRequest, told: dict[str, Any]) -> dict[str, Any]:
    """What is told of one film."""
    name = f"{request.param}.mp4"
    report = Path(told["entries"][name]["report"])
    with (report.parent / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        "name": name,
        "planted": PLANTED[request.param],
        "rows": rows,
        "runs": {kind: runs(rows, kind) for kind in KINDS},
        "report": report,
        "summary": json.loads(report.read_text())["summary"],
        "row": told["table"][name],
        "entry": told["entries"][name],
        "chart": told["charts"][name],
        "lines": told["lines"],
    }


def runs(rows: Rows, kind: str) -> list[tuple[int, int]]:
    """The runs `[start, stop)` of flagged frames in scores.csv, which everything is held against."""
    frames = [int(row["frame"]) for row in rows if row[kind] == "1"]
    groups = [[frame for _, frame in group] for _, group in groupby(enumerate(frames), lambda p: p[1] - p[0])]
    return [(group[0], group[-1] + 1) for group in groups]


def moment(film: dict[str, Any], frame: int) -> float:
    """The start of a frame in seconds, from scores.csv; of the frame after the last, from the table's duration."""
    rows = film["rows"]
    return float(rows[frame]["time_seconds"] if frame < len(rows) else film["row"]["duration_seconds"])


def test_what_was_planted_is_found_and_an_untouched_film_has_nothing(film: dict[str, Any]) -> None:
    for kind in KINDS:
        true = {f for start, stop in film["planted"].get(kind, []) for f in range(start, stop)}
        found = {f for start, stop in film["runs"][kind] for f in range(start, stop)}
        assert len(found ^ true) <= 1
    if film["name"] == "clean.mp4":
        row = film["row"]
        assert (row["blurred_share"], row["cuts"]) == ("0", "0")
        assert {row[f"{kind}_{end}"] for kind in KINDS for end in ("from", "to")} == {""}


def test_the_report_has_every_run_as_frames_and_seconds(film: dict[str, Any]) -> None:
    for kind, (name, count) in KINDS.items():
        part, found = film["summary"][kind], film["runs"][kind]
        assert [(run["start"], run["stop"]) for run in part[name]] == found
        seconds = [(run["start_seconds"], run["stop_seconds"]) for run in part[name]]
        assert seconds == [(moment(film, start), moment(film, stop)) for start, stop in found]
        assert part[count] == len(found)
        assert part["frames"] == sum(stop - start for start, stop in found)
        assert part["ratio"] == pytest.approx(part["frames"] / len(film["rows"]), abs=1e-6)


def test_the_table_has_the_longest_runs_and_the_shares_of_the_frames(film: dict[str, Any]) -> None:
    row, rows = film["row"], film["rows"]
    for kind in KINDS:
        longest = max(film["runs"][kind], key=lambda run: run[1] - run[0], default=None)
        ends = [row[f"{kind}_from"], row[f"{kind}_to"]]
        assert [float(end) for end in ends if end] == [moment(film, frame) for frame in longest or ()]
    blurred = sum(each["blurred"] == "1" for each in rows)
    assert float(row["blurred_share"]) == pytest.approx(blurred / len(rows), abs=1e-6)
    assert int(row["cuts"]) == sum(each["cut"] == "1" for each in rows) == len(film["planted"].get("cut", []))
    assert float(row["sharpness_mean"]) == pytest.approx(
        np.mean([float(each["sharpness"]) for each in rows]), abs=2e-6
    )
    rate = 60 / float(row["duration_seconds"])
    assert rate == pytest.approx(eval_rate(RATES[film["name"].removesuffix(".mp4")]), rel=1e-6)


def eval_rate(text: str) -> float:
    above, _, below = text.partition("/")
    return int(above) / int(below or 1)


def test_the_folders_report_has_the_reports_of_its_films(film: dict[str, Any]) -> None:
    report = json.loads(film["report"].read_text())
    del report["summary"]["curve"]
    assert film["entry"] == {"file": film["name"], "error": None, "report": str(film["report"]), **report}
    assert report["published"]["video_name"] == film["name"]


def test_page_and_command_line_tell_each_run_in_the_same_time_codes(film: dict[str, Any]) -> None:
    page, text = read_report(film["report"]), "\n".join(film["lines"])
    for kind in KINDS:
        found = film["runs"][kind]
        for start, stop in found:
            times = time_range(moment(film, start), moment(film, stop))
            assert f"<time>{times}</time>" in page
            assert f"{times}  {kind}, {stop - start:,} frame" in text
        verdict = next(line for line in film["lines"] if line.startswith(f"{film['name']}: "))
        said = f"{kind.capitalize()}: {sum(b - a for a, b in found):,} frame" if found else "none"
        if any(film["runs"].values()):
            assert said in verdict
        else:
            assert "No blurred or frozen frames." in verdict
        assert verdict.removeprefix(f"{film['name']}: ").partition(" Cuts: ")[0] in page
    assert page.count("<time>") == sum(map(len, film["runs"].values()))


def test_the_chart_shades_each_run_and_says_when_it_is(film: dict[str, Any]) -> None:
    found = sorted(
        (moment(film, start), moment(film, stop)) for kind in KINDS for start, stop in film["runs"][kind]
    )
    last = float(film["row"]["duration_seconds"])
    share = np.array(shaded(film["chart"]))
    assert np.allclose(share, np.array(found) / last, atol=0.002) if found else not share.size
    words = {
        f"{kind}\n{time_code(moment(film, start))}\n{time_code(moment(film, stop))}"
        for kind in KINDS
        for start, stop in film["runs"][kind]
    }
    assert {each.text for each in film["chart"].words if "\n" in each.text} == words


def test_a_file_that_fails_is_an_empty_row_with_its_reason_in_the_report(told: dict[str, Any]) -> None:
    assert "is not a video" in told["entries"]["text.mp4"]["error"]
    row = told["table"]["text.mp4"]
    assert {value for key, value in row.items() if key != "file"} == {""}
    assert list(told["table"]) == [*sorted(f"{name}.mp4" for name in RATES), "text.mp4"]
