"""Stretches in words: the longest of each kind, alike for blurred and frozen ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.scoring.metrics.verdicts import VERDICT
from pipelines.scoring.report import summary as summaries
from pipelines.scoring.report.stretches import MOST_TOLD, left_out, report_lines, stretches, verdict
from pipelines.scoring.report.summary import Summary


def summed(frames: int, blurred: Any = (), frozen: Any = (), seconds: Any = lambda frame: frame / 24) -> Any:
    block = np.zeros(frames, VERDICT)
    block["sharpness"] = block["baseline"] = 0.6
    for start, stop in blurred:
        block["blurred"][start:stop], block["sharpness"][start:stop] = True, 0.3
    for start, stop in frozen:
        block["frozen"][start:stop] = True
    made = Summary(0, frames)
    assert sum(map(len, made.collect([block]))) == frames
    return made.describe(seconds)


def test_both_kinds_are_told_alike_and_in_order() -> None:
    found = stretches(summed(100, [(60, 72)], [(24, 25)]))
    assert [(stretch.times, *stretch.words) for stretch in found] == [
        ("0:01.000 – 0:01.042", "frozen, 1 frame", "卡顿，1 帧"),
        (
            "0:02.500 – 0:03.000",
            "blurred, 12 frames, severe (−50.0 % sharpness)",
            "模糊，12 帧，严重（清晰度 −50.0 %）",
        ),
    ]


@pytest.mark.parametrize(
    ("blurred", "frozen", "english", "chinese"),
    [
        ([], [], "No blurred or frozen frames.", "没有模糊或卡顿的帧。"),
        (
            [(3, 4)],
            [],
            "Blurred: 1 frame (1.0 %) in 1 stretch. Frozen: none.",
            "模糊：1 帧（1.0 %），1 处。卡顿：无。",
        ),
        (
            [],
            [(3, 5), (9, 11)],
            "Blurred: none. Frozen: 4 frames (4.0 %) in 2 stretches.",
            "模糊：无。卡顿：4 帧（4.0 %），2 处。",
        ),
    ],
)
def test_the_verdict_counts_both_kinds(blurred: Any, frozen: Any, english: str, chinese: str) -> None:
    assert verdict(summed(100, blurred, frozen)) == (english, chinese)


def test_blank_and_repeated_frames_are_no_faults_but_counted() -> None:
    described = summed(100, [], [])
    described["blank"]["frames"], described["cadence"]["repeated_frames"] = 1, 20
    assert verdict(described) == (
        "No blurred or frozen frames. Blank: 1 frame. Repeated at a regular rhythm (cadence): 20 frames.",
        "没有模糊或卡顿的帧。空白：1 帧。按固定节奏重复：20 帧。",
    )
    for kind in ("blank", "cadence"):  # as in a report of an earlier version
        del described[kind]
    assert verdict(described) == ("No blurred or frozen frames.", "没有模糊或卡顿的帧。")


def test_the_longest_are_told_and_the_others_counted() -> None:
    lengths = [3, 1, 5, 2, 7, 4, 6, 9, 8, 12, 11, 10]
    runs = [(30 * i, 30 * i + length) for i, length in enumerate(lengths)]
    described = summed(400, runs, runs[:2])
    told = stretches(described)
    kinds = [stretch.kind for stretch in told]
    assert (kinds.count("blurred"), kinds.count("frozen")) == (MOST_TOLD, 2)
    assert {len(s) for s in told if s.kind == "blurred"} == set(range(3, 13))
    assert [s.start for s in told] == sorted(s.start for s in told)
    assert left_out(described) == 2


def test_the_longest_run_is_the_one_that_lasts_longest() -> None:
    """At a variable rate, few frames may be shown longer than many."""

    def slow_from_50(frame: int) -> float:
        return frame / 50 if frame <= 50 else 1 + (frame - 50)

    described = summed(60, frozen=[(10, 40), (52, 54)], seconds=slow_from_50)
    assert described["frozen"]["longest"]["start"] == 52
    assert described["frozen"]["longest"]["stop_seconds"] == 5.0
    assert described["blurred"]["longest"] is None


@pytest.mark.parametrize("rate", [24, 30000 / 1001, 25, 60])
def test_of_equals_the_first_are_told(rate: float) -> None:
    runs = [(100 * i, 100 * i + 20) for i in range(16)]
    described = summed(1600, frozen=runs, seconds=lambda frame: frame / rate)
    assert [stretch.start for stretch in stretches(described)] == [start for start, _ in runs[:MOST_TOLD]]
    assert described["frozen"]["longest"]["start"] == 0


def test_the_longest_run_is_known_beyond_the_runs_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "KEPT", 3)
    described = summed(200, [(0, 2), (10, 12), (20, 22), (30, 90), (100, 101)])
    assert len(described["blurred"]["intervals"]) == 3
    assert described["blurred"]["interval_count"] == 5
    assert (described["blurred"]["longest"]["start"], described["blurred"]["longest"]["stop"]) == (30, 90)


def test_all_runs_are_in_the_report() -> None:
    runs = [(10 * i, 10 * i + 2) for i in range(700)]
    described = summed(7000, runs, [(start + 5, stop + 5) for start, stop in runs])
    assert [(run["start"], run["stop"]) for run in described["blurred"]["intervals"]] == runs
    assert len(described["frozen"]["runs"]) == 700
    assert described["frozen"]["runs"][-1]["stop_seconds"] == pytest.approx(6997 / 24, abs=1e-6)


def test_a_terminal_gets_the_verdict_and_the_stretches(tmp_path: Path) -> None:
    runs = [(30 * i, 30 * i + 2) for i in range(MOST_TOLD + 3)]
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"video": {"name": "a.mp4"}, "summary": summed(400, [(399, 400)], runs)}))
    first, *lines, last = report_lines(report)
    assert first.startswith("a.mp4: Blurred: 1 frame (0.2 %) in 1 stretch. Frozen: 26 frames (6.5 %) in 13 ")
    assert first.endswith("Cuts: 0.")
    assert lines[0].strip().split("  ") == ["0:00.000 – 0:00.083", "frozen, 2 frames"]
    assert len(lines) == MOST_TOLD + 1
    assert "3 more" in last and str(report) in last
