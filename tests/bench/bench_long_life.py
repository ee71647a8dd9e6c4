"""A hundred jobs of three tasks, one after the other, on one server: what it holds after each.

`python tests/bench/bench_long_life.py --jobs 100 --picture docs/long-life.png` starts `python app.py`, sends the jobs
as a program does, and prints a row for every tenth: memory of the server's own process, open files, threads, and files
below its folder that belong to no job. From the tenth job on memory should stay within 5 %, and the rest equal.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.drawing.chart import Box, Chart
from pipelines.drawing.panel import AMBER, BLUE, GREY, INK, TITLE_PX, Key, Panel, ticks_of
from tests.attack.blackbox import Raw, Server, clip, start
from tests.faults.tasks import draw

MIB = 2**20
_SETTLED = 10
"""Jobs after which everything has been loaded once."""


@dataclass
class Reading:
    """What the server holds after some jobs: bytes, and counts."""

    jobs: int
    memory: int
    files: int
    threads: int
    others: int


def read(server: Server, jobs: int) -> Reading:
    """Measure the server's own process, and the files below its folder that are in no job's."""
    process = psutil.Process(server.process.pid)
    ours = {path.parent for path in server.jobs.glob("*/job.json")}
    others = sum(
        path.is_file() and not any(folder in path.parents for folder in ours)
        for path in server.jobs.rglob("*")
        if "cache" not in path.parts and "uploads" not in path.parts
    )
    info = process.memory_full_info()
    return Reading(jobs, info.uss, process.num_fds(), process.num_threads(), others)


def request(visitor: Raw, number: int, video: dict, portrait: dict, driving: dict) -> str:
    """Run job `number` to its end by the API; returns its state."""
    end = 0.5 + number / 1000  # another end is another job
    kinds = (
        ("score", {"file": video, "end": end}),
        ("inpaint", {"file": video, "box": "36,16,20,36@0", "end": end, "quality": "draft"}),
        ("animate", {"source": portrait, "driving": driving, "end": end, "quality": "draft"}),
    )
    task, values = kinds[number % len(kinds)]
    known = {each["parameter_name"] for each in visitor.parameters(task)}
    renamed = {name if name in known else "file": value for name, value in values.items()}
    kind, data = visitor.answer(task, **renamed)
    assert kind == "complete", (task, kind, data)
    return str(data[0]["state"])


def picture(readings: list[Reading], path: Path) -> None:
    """Draw memory, open files and threads over the jobs."""
    jobs = [each.jobs for each in readings]
    memory = [each.memory / MIB for each in readings]
    most = 1.25 * max(each.files for each in readings)
    chart = Chart(990, 352)
    panel = Panel(chart, Box(79, 90, 911, 300), jobs[0], jobs[-1], 1.25 * max(memory))
    panel.scales(ticks_of(panel.start, panel.stop), "jobs")
    panel.scale_on_the_right(most, INK)
    chart.text(
        f"{len(readings)} jobs of three tasks on one server", 79, 16, INK, size_px=TITLE_PX, anchor="la"
    )
    panel.curve(jobs, memory, BLUE)
    panel.curve(jobs, [each.files for each in readings], AMBER, top=most)
    panel.curve(jobs, [each.threads for each in readings], GREY, top=most)
    keys = [
        ("memory of the server, MiB", BLUE),
        ("open files, on the right", AMBER),
        ("threads, on the right", GREY),
    ]
    panel.legend([Key(words, colour) for words, colour in keys])
    chart.save(path)


def main() -> None:
    """Run the jobs; print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    out = Path(tempfile.mkdtemp(prefix="long-life-"))
    tasks = draw(out / "inputs")
    server = start(out)
    readings = []
    try:
        visitor = Raw(server)
        video = clip(out / "clip.mp4", seconds=2, size="96x64")
        files = [video, Path(tasks["animate"].arguments[1]), Path(tasks["animate"].arguments[2])]
        uploads = [visitor.uploaded(path.name, path.read_bytes()) for path in files]
        print("| jobs | memory, MiB | open files | threads | files outside jobs |\n|---|---|---|---|---|")
        for number in range(1, given.jobs + 1):
            state = request(visitor, number, *uploads)
            assert state == "done", state
            readings.append(read(server, number))
            if number % 10 == 0:
                last = readings[-1]
                print(
                    f"| {number} | {last.memory / MIB:.1f} | {last.files} | {last.threads} | {last.others} |",
                    flush=True,
                )
    finally:
        server.stop()
    settled = readings[_SETTLED - 1 :]
    if settled:
        growth = max(each.memory for each in settled) / settled[0].memory - 1
        print(f"\nfrom job {_SETTLED} on: memory at most {growth:+.1%}; {os.cpu_count()} cores")
    if given.picture:
        picture(readings, given.picture)


if __name__ == "__main__":
    main()
