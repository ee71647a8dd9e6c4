"""The machine as the page shows it: foreign text stays text, both languages, nothing lies outside its bar or plot."""

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pytest

from memory.units import GIB
from pipelines.doctor import Finding
from ui.i18n.words import LIVE
from ui.render.history_plot import POINTS, last_hour
from ui.render.system import doctor_text, hardware_strip, system_panel
from ui.server.monitor import Sample
from ui.server.policy import Policy
from ui.server.system_info import (
    BaselineNow,
    CountersNow,
    DeviceNow,
    DiskNow,
    HardwareNow,
    HostNow,
    PresetNow,
    ProcessesNow,
    ProcessNow,
    QueueNow,
    System,
    WorkerNow,
)

EVIL = '<img src=x onerror="alert(1)">${alert(2)}'
CARD = DeviceNow(
    kind="cuda",
    index=0,
    name="RTX 4070",
    total_bytes=12 * GIB,
    free_bytes=3 * GIB,
    ours_bytes=6 * GIB,
    others_bytes=3 * GIB,
    utilisation_percent=83,
)
HOST = HostNow(
    total_bytes=16 * GIB,
    available_bytes=12 * GIB,
    used_bytes=4 * GIB,
    machine_bytes=64 * GIB,
    in_container=True,
)


def system(devices: Sequence[DeviceNow] = (), **changes: Any) -> System:
    told: dict[str, Any] = {
        "version": "1",
        "hardware": HardwareNow(
            host=HOST,
            devices=tuple(devices),
            no_device_code="driver_error",
            no_device_detail="Unknown Error",
            cores=4,
        ),
        "preset": PresetNow(vram="none", host="16gb", reason=""),
        "disk": DiskNow(total_bytes=100 * GIB, free_bytes=40 * GIB),
        "processes": ProcessesNow(page_bytes=GIB // 4, worker_bytes=3 * GIB // 4),
        "worker": WorkerNow(state="warm", engine="builtin", jobs_run=3, seconds=75),
        "queue": QueueNow(running=0, waiting=2),
        "counters": CountersNow(frames_per_second=12.34, restarts=1, degradations=2, finished={"done": 7}),
        "baseline": BaselineNow(),
    }
    return System(**{**told, **changes})


def samples(count: int, period: float = 5.0, device: int = 0, top: int = 4 * GIB) -> list[Sample]:
    return [
        Sample(i * period, 16 * GIB, top * (i + 1) // count, GIB, 3 * device, device) for i in range(count)
    ]


class _Balance(HTMLParser):
    """Fails where a tag is closed that is not the open one."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(html: str) -> _Balance:
    balance = _Balance()
    balance.feed(html)
    assert not balance.open
    return balance


def text(html: str, language: str) -> str:
    """What a reader of one language sees."""
    other = {"en": "zh", "zh": "en"}[language]
    return re.sub(r"<[^>]+>", " ", re.sub(rf'<span lang="{other}">.*?</span>', "", html))


def test_html_is_whole_and_foreign_text_stays_text() -> None:
    hardware = HardwareNow(host=HOST, devices=(CARD.model_copy(update={"name": EVIL}),))
    evil = system(
        hardware=hardware,
        preset=PresetNow(vram=EVIL, host=EVIL, reason=EVIL),
        disk=DiskNow(total_bytes=2, free_bytes=1, folder=EVIL),
        processes=ProcessesNow(
            page_bytes=1, other_bytes=1, each=(ProcessNow(pid=1, name=EVIL, role="other", host_bytes=1),)
        ),
        worker=WorkerNow(state="busy", engine=EVIL),
        counters=CountersNow(finished={EVIL: 1}),
    )
    no_card = system(hardware=HardwareNow(host=HOST, no_device_code="driver_error", no_device_detail=EVIL))
    finding = Finding(what=EVIL, found=EVIL, ok=False, advice=EVIL)
    for html in (
        hardware_strip(evil, Policy.space()),
        hardware_strip(no_card, Policy()),
        system_panel(evil, samples(9, device=GIB)),
        doctor_text([finding], private=True),
    ):
        assert "img" not in parsed(html).open
        assert not {"onerror", "src"} & {name for name, _ in parsed(html).attributes}
        assert "&lt;img" in html


# -- the strip -----------------------------------------------------------------------------------------------


def test_the_strip_without_a_gpu_says_so_and_why() -> None:
    html = hardware_strip(system(), Policy())
    english, chinese = text(html, "en"), text(html, "zh")
    assert "No GPU" in english and "CPU, 4 cores" in english and "reports an error (Unknown Error)" in english
    assert "无显卡" in chinese and "4 核" in chinese and "No GPU" not in chinese
    assert "12.0 of 16.0 GB free" in english and "40.0 GB free" in english
    assert "GPU memory" not in english and "Limit per job" not in english


def test_the_strip_with_gpus_tells_each_ones_memory() -> None:
    html = text(hardware_strip(system([CARD, CARD]), Policy.space()), "en")
    assert "RTX 4070 + 1" in html
    assert html.count("3.00 of 12.0 GB free") == 2
    assert "Limit per job" in html and "12.0 GB of memory" in html
    assert "s 64.0 GB" in html


def test_a_tick_does_not_close_what_the_reader_opened() -> None:
    html = hardware_strip(system(), Policy())
    assert "<details" not in html, (
        "its `open` is an attribute, and Gradio takes the new attributes at every update"
    )
    attributes = parsed(html).attributes
    assert ("popovertarget", "lt-why") in attributes and ("id", "lt-why") in attributes


# -- bars ----------------------------------------------------------------------------------------------------


def meters(html: str) -> list[dict[str, str]]:
    return [
        dict(re.findall(r'(aria-\w+)="([^"]*)"', tag))
        for tag in re.findall(r'<div[^>]*role="meter"[^>]*>', html)
    ]


def test_each_bar_tells_its_numbers_to_screen_readers() -> None:
    host, device, disk = meters(system_panel(system([CARD]), ()))
    assert (int(host["aria-valuenow"]), int(host["aria-valuemax"])) == (4 * GIB, 16 * GIB)
    assert (int(device["aria-valuenow"]), int(device["aria-valuemax"])) == (9 * GIB, 12 * GIB)
    assert (int(disk["aria-valuenow"]), int(disk["aria-valuemax"])) == (60 * GIB, 100 * GIB)
    for meter in (host, device, disk):
        assert (
            meter["aria-label"] and "GB used" in meter["aria-valuetext"] and "已用" in meter["aria-valuetext"]
        )


def test_nothing_on_a_bar_lies_outside_it() -> None:
    full = CARD.model_copy(update={"ours_bytes": 90 * GIB, "others_bytes": 90 * GIB, "free_bytes": 0})
    empty = CARD.model_copy(update={"total_bytes": 0, "ours_bytes": 0, "others_bytes": 0, "free_bytes": 0})
    ours = ProcessesNow(page_bytes=0)
    html = system_panel(system([full, empty], processes=ours), ()) + hardware_strip(
        system([full, empty]), Policy()
    )
    assert all(0 <= float(width) <= 100 for width in re.findall(r"width:([-\d.]+)%", html))
    assert all(int(meter["aria-valuenow"]) <= int(meter["aria-valuemax"]) for meter in meters(html))


def test_what_we_hold_is_told_apart_from_others() -> None:
    html = text(system_panel(system([CARD]), ()), "en")
    assert re.search(r"Longtake\s+1.00\s+GB\s+Others\s+3.00\s+GB\s+Free\s+12.0\s+GB", html)
    assert re.search(r"Longtake\s+6.00\s+GB\s+Others\s+3.00\s+GB\s+Free\s+3.00\s+GB", html)


# -- the last hour -------------------------------------------------------------------------------------------


def points(html: str, name: str) -> list[tuple[float, float]]:
    found = re.search(rf'class="lt-line-{name}" points="([^"]*)" vector', html)
    assert found, f"there is no line {name}"
    return [(float(x), float(y)) for x, y in (point.split(",") for point in found[1].split())]


@pytest.mark.parametrize("count", [0, 1])
def test_a_line_needs_two_samples(count: int) -> None:
    html = last_hour(samples(count))
    assert "polyline" not in html
    assert LIVE["system.hour_empty"][0] in html


@pytest.mark.parametrize("count", [2, 359, 361, 720, 2000])
def test_an_hour_has_a_bounded_number_of_points_all_on_the_plot(count: int) -> None:
    html = last_hour(samples(count, device=2 * GIB))
    for name in ("host", "ours", "device"):
        line = points(html, name)
        assert 2 <= len(line) <= POINTS
        assert all(-0.1 <= x <= 1000 and 0 <= y <= 200 for x, y in line)
        assert line[-1][0] == 1000, "the line ends now"
        assert [x for x, _ in line] == sorted(x for x, _ in line)


def test_a_short_peak_is_not_thinned_away() -> None:
    flat = samples(720, top=GIB)
    for at in (100, 101):
        peak = list(flat)
        peak[at] = Sample(at * 5.0, 16 * GIB, 8 * GIB, GIB, 0, 0)
        assert min(y for _, y in points(last_hour(peak), "host")) == 0


@pytest.mark.parametrize(
    ("count", "minutes"), [(2, 4), (49, 4), (50, 10), (300, 30), (482, 60), (721, 60), (2000, 60)]
)
def test_the_axis_is_as_long_as_what_was_seen(count: int, minutes: int) -> None:
    html = text(last_hour(samples(count)), "en")
    assert f"{minutes} min ago" in html and f"{minutes / 2:g} min ago" in html


def test_the_plot_is_told_in_words_in_both_languages() -> None:
    html = last_hour(samples(10, device=GIB))
    label = dict(parsed(html).attributes)
    (told,) = [value for name, value in parsed(html).attributes if name == "aria-label"]
    assert label["role"] == "img" and told
    assert "Memory, all programs 410 MB to 4.00 GB" in told and "GPU, all programs 1.00 GB to 1.00 GB" in told
    assert "最近 4 分钟" in told


def test_lines_are_told_apart_by_words_too() -> None:
    html = text(last_hour(samples(10, device=GIB)), "en")
    assert "Memory, all programs" in html and "Memory, Longtake" in html and "GPU, all programs" in html
    assert "GPU" not in last_hour(samples(10))


# -- words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["none", "warm", "busy"])
def test_every_state_of_the_worker_is_a_sentence_in_both_languages(state: Any) -> None:
    html = system_panel(system(worker=WorkerNow(state=state, engine="builtin", jobs_run=3, seconds=75)), ())
    for language, sentence in zip(("en", "zh"), LIVE[f"system.worker.{state}"], strict=True):
        assert sentence.format(time="1:15") in text(html, language)
    assert ("builtin" in html) is (state != "none")


def test_workers_of_several_places_have_a_line_each() -> None:
    busy = WorkerNow(state="busy", engine="builtin", jobs_run=3, seconds=75)
    workers = (busy, WorkerNow(state="warm", engine="flow", jobs_run=2, seconds=5), WorkerNow(state="none"))
    html = system_panel(system(worker=busy, workers=workers, queue=QueueNow(running=1, waiting=0)), ())
    parsed(html)
    said = text(html, "en")
    assert "Busy for 1:15." in said and "Ready, idle for" in said and "No worker is running" not in said
    assert "builtin" in html and "flow" in html and "Jobs at once, at most" in said
    assert "A job has been running for 1:15." in said
    both = system_panel(system(workers=workers, queue=QueueNow(running=2, waiting=0)), ())
    assert "2 jobs are running." in text(both, "en")


@pytest.mark.parametrize(("returned", "lamp"), [(None, "none"), (True, "warm"), (False, "bad")])
def test_the_baseline_is_told_with_its_numbers(returned: bool | None, lamp: str) -> None:
    baseline = BaselineNow(
        returned=returned,
        page_before_bytes=GIB,
        page_after_bytes=2 * GIB,
        worker_first_bytes=3 * GIB,
        worker_after_bytes=4 * GIB,
        worker_first_device_bytes=5 * GIB,
        worker_after_device_bytes=6 * GIB,
        worker_jobs=9,
    )
    html = system_panel(system(baseline=baseline, worker=WorkerNow(state="none")), ())
    assert f"lt-lamp-{lamp}" in html
    for language in ("en", "zh"):
        assert all(f"{gib}.00 GB" in text(html, language) for gib in range(1, 7))


def test_counters_are_told() -> None:
    html = text(system_panel(system(), ()), "en")
    assert re.search(
        rf"{LIVE['system.restarts'][0]}\s+1\s+{LIVE['system.degradations'][0]}\s+2\s+Done\s+7", html
    )
    assert re.search(r"Frames per second now\s+12.3", html)


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        (QueueNow(running=0, waiting=0), ("No job is running.", "No job is waiting.")),
        (QueueNow(running=1, waiting=1), ("A job has been running for", "One job is waiting.")),
        (QueueNow(running=1, waiting=7), ("A job has been running for", "7 jobs are waiting.")),
    ],
)
def test_what_runs_and_what_waits_is_said_first(queue: QueueNow, said: tuple[str, str]) -> None:
    glance = text(system_panel(system(queue=queue), ()), "en").partition("Memory")[0]
    for words in (*said, "There is room for more"):
        assert words in glance


def test_little_room_is_said_in_words() -> None:
    disk = system().disk.model_copy(update={"free_bytes": GIB})
    assert "There may be no room" in text(system_panel(system(disk=disk), ()), "en")


def test_processes_are_listed_where_they_are_told() -> None:
    each = (ProcessNow(pid=4242, name="python", role="worker", host_bytes=GIB),)
    told = system_panel(system(processes=ProcessesNow(page_bytes=1, worker_bytes=GIB, each=each)), ())
    assert "4242" in told
    assert "lt-each" not in system_panel(system(), ())


# -- the doctor ----------------------------------------------------------------------------------------------

FINDINGS = [
    Finding(what="ffmpeg", found="ffmpeg 9.0 (/home/ann smith/bin/ffmpeg)", ok=True),
    Finding(what="weights", found="/home/ann smith/weights", ok=True),
    Finding(what="disk", found="1.0 GB free for /home/ann smith/jobs", ok=False, advice="Make room."),
]


def test_the_doctor_is_told_with_advice_and_not_by_colour_alone() -> None:
    html = doctor_text(FINDINGS, private=True)
    assert "1 of 3 need attention." in text(html, "en") and "3 项中有 1 项" in text(html, "zh")
    assert html.count('aria-label="fine"') == 2 and html.count('aria-label="needs attention"') == 1
    assert "Make room." in html and "/home/ann smith/weights" in html
    assert "…" not in html, "on one's own machine nothing is left out"
    assert LIVE["system.doctor.well"][0] in doctor_text(FINDINGS[:2])


def test_what_is_optional_and_missing_is_neither_fine_nor_a_fault() -> None:
    advice = "`python -m pipelines weights <b> --fetch` downloads it from example.org/b"
    finding = Finding(what="b", found="B is not installed", ok=True, missing=True, advice=advice)
    html = doctor_text([finding], private=True)
    assert LIVE["system.doctor.well"][0] in html
    assert "lt-lamp-none" in html and "lt-lamp-warm" not in html and "optional, not installed" in html
    assert (
        "<code>python -m pipelines weights &lt;b&gt; --fetch</code> downloads it from example.org/b" in html
    )
    assert "`" not in html


def test_paths_are_for_the_person_at_this_machine() -> None:
    html = doctor_text(FINDINGS)
    assert "ann" not in html and "smith" not in html
    assert "ffmpeg 9.0 …" in html and "1.0 GB free for …" in html


def test_the_name_of_the_strip_comes_in_each_language_before_anyone_asks() -> None:
    (words,) = [
        json.loads(value)
        for name, value in parsed(hardware_strip(system(), Policy())).attributes
        if name == "data-words"
    ]
    assert words == {"en": LIVE["strip.hardware"][0], "zh": LIVE["strip.hardware"][1]}
