"""The curves of a score, drawn by the page."""

import re
from typing import Any

import pytest

from ui.i18n.catalogue import speaking
from ui.reports.score import charts

RUN = {"start_seconds": 1.0, "stop_seconds": 1.4, "start": 25, "stop": 35}


@pytest.fixture
def drawn(report: dict[str, Any]) -> dict[str, Any]:
    """A report of 40 frames, 10 of them blurred, with a cut."""
    curve = {
        "frames_a_point": 1,
        "mean": [0.5] * 39 + [1.0],
        "jump": [0.0, 0.3] * 20,
        "window_score": [0.0] * 40,
    }
    summary = {
        **report["summary"],
        "duration_seconds": 1.6,
        "curve": {**curve, "lowest": curve["mean"]},
        "blurred": {
            "frames": 10,
            "ratio": 0.25,
            "interval_count": 1,
            "intervals": [{**RUN, "severity": "severe", "drop": 0.5}],
        },
        "cuts": {"count": 1, "frames": [20]},
    }
    return {**report, "engine": "builtin", "video": {"frame_rate": "25"}, "summary": summary}


def test_the_curves_are_drawn_with_their_faults_in_the_visitors_language(drawn: dict[str, Any]) -> None:
    with speaking("zh"):
        html = charts(drawn)
    assert (
        "清晰度" in html and "模糊" in html and "镜头切换" in html and "阈值" in html and "卡顿" not in html
    )
    assert not re.search("[A-Za-z]{3}", re.sub("<[^>]*>", " ", html)), "nothing is left in English"
    ((left, wide),) = re.findall(r'class="lt-blurred lt-severe" x="([\d.]+)" width="([\d.]+)"', html)
    assert (float(left), float(wide)) == (625.0, 250.0), "where the frames 25 to 34 of 40 are"
    sharp, jumps = re.findall(r'<polyline points="([^"]*)"', html)
    assert len(sharp.split()) == len(jumps.split()) == 40
    assert sharp.split()[-1] == "975.0,21.4" and 'aria-label="清晰度' in html


def test_a_part_of_a_video_is_drawn_from_its_own_first_frame(drawn: dict[str, Any]) -> None:
    drawn["settings"] = {"start": 0.8}
    html = charts(drawn)
    assert 'class="lt-blurred lt-severe" x="125.0"' in html, "frame 25 is the sixth"
    assert "0:00.800" in html and "0:02.400" in html


def test_scores_of_a_network_have_a_plot_of_their_own(drawn: dict[str, Any]) -> None:
    drawn["engine"] = "qalign"
    drawn["summary"]["curve"]["window_score"] = [3.5] * 40
    assert charts(drawn).count("<polyline") == 3 and "Q-Align" in charts(drawn)


def test_one_frame_is_a_line_and_no_curve_is_nothing(drawn: dict[str, Any], report: dict[str, Any]) -> None:
    assert charts(report) == "", "a report of an earlier version"
    for name in ("mean", "lowest", "jump", "window_score"):
        drawn["summary"]["curve"][name] = [0.0]
    drawn["summary"]["frames"] = 1
    assert all(
        len(points.split()) == 2 for points in re.findall(r'<polyline points="([^"]*)"', charts(drawn))
    )
