"""Jobs of the task in this process, with spans and chains so short that a short clip has some.

As a program it runs the job whose folder it is given with the built-in engine, as a worker would.
"""

import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from memory.budget import Budget
from memory.plan import Cost, Load
from pipelines.animation.engine import Animated, PortraitEngine
from pipelines.animation.inputs import read_picture, read_pixels
from pipelines.animation.pipeline import AnimatePipeline
from pipelines.animation.stage import read_figures
from pipelines.animation.warp import flow_warp
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime import planning
from pipelines.runtime.run import run_job
from pipelines.settings import AnimateSettings
from pipelines.stages import RunContext
from pipelines.vision.types import Size
from presets.choose import Choice

SPAN_FRAMES = 8
SHORT = {"CHAIN_FRAMES": 10, "WARM_UP_FRAMES": 4, "_BLEND_FRAMES": 2}


class StandIn(PortraitEngine):
    """An engine that is simple enough to be known: the source, its corner as bright as the frame's number."""

    name = "flowwarp"
    asked: ClassVar[list[tuple[int, int]]] = []
    """The ranges that were asked for, of all jobs since `shorten`."""

    @property
    def size(self) -> Size:
        video = self.inputs.source.video
        return video.width, video.height

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        return choice, Cost(host=Load(fixed=1))

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        self.asked.append((start, stop))
        roles = self.inputs
        still = read_picture(roles.source) if roles.source.kind == "picture" else None
        seen = None if roles.driving.kind == "template" else roles.driving
        moving = read_pixels(run, roles.moving, start, stop) if roles.moving.kind != "template" else None
        for index in range(start, stop):
            frame = None if moving is None else next(moving)
            source = frame if still is None else still
            result = source.copy()
            result[:8, :8] = index % 256
            driven = frame if seen is roles.moving else None
            yield Animated(index, source, driven, result, (float(index),))
        if moving is not None:
            moving.close()

    def report(self, run: RunContext, warn: Callable[[str, str], None]) -> dict[str, Any]:
        figures = np.concatenate(list(read_figures(run)))
        return {"figures": figures[:, 0].tolist()}


def shorten(patch: Callable[[object, str, Any], None]) -> None:
    """Short spans and chains; `patch(owner, name, value)` puts things in place."""
    choose = planning.choose

    def shorter(*given: Any, **more: Any) -> Any:
        choice = choose(*given, **more)
        return replace(choice, values={**choice.values, "span_frames": SPAN_FRAMES})

    patch(planning, "choose", shorter)
    for name, frames in SHORT.items():
        patch(flow_warp, name, frames)


def stand_in(patch: Callable[[object, str, Any], None]) -> type[StandIn]:
    """Let jobs run with the stand-in."""
    StandIn.asked.clear()
    patch(planning, "open_pipeline", lambda task, *asked: AnimatePipeline.open(StandIn, *asked))
    return StandIn


def ask(folder: Path, source: Path, driving: Path, **settings: object) -> Job:
    asked = AnimateSettings.model_validate({"engine": "flowwarp", **settings})
    return Job.create(folder, "animate", (source, driving), asked, 1)


def step(job: Job, **more: Any) -> events.Event:
    """Run the job once, to its ending event."""
    job.forget_request()
    job.journal.append(events.Queued(job=job.id, task="animate", name="clip"))
    run_job(job, **more)
    return [event for event, _ in job.journal.read()][-1]


def result(job: Job, **more: Any) -> events.Outputs:
    done = step(job, **more)
    assert isinstance(done, events.Done), done
    return done.outputs


if __name__ == "__main__":
    shorten(setattr)
    run_job(Job(Path(sys.argv[1])), echo=lambda event: print(event.type, flush=True))
