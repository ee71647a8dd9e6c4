"""Posing a portrait, in a process that keeps it warm: a question a line on stdin, its answer as an event on stdout.

The networks and the portrait stay until another portrait is asked for, so that the next pose takes one frame's time.
The process leaves when its stdin closes, and when nothing was asked for a while.
"""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from memory.budget import Budget
from memory.devices import Device, limit_device
from memory.oom import is_out_of_memory
from memory.probe import probe_hardware
from pipelines.engines.devices import device_for
from pipelines.errors import LongtakeError, NotEnoughMemory, OverLimit
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.settings import PoseSettings
from pipelines.stages import Pixels
from pipelines.weights.locate import find

if TYPE_CHECKING:
    from pipelines.animation.liveportrait.pose import Poser

MODEL = "liveportrait"
IDLE_SECONDS = 180.0

_GIB = 2**30
_OF_A_POSE = frozenset({"pitch", "yaw", "roll", "eyes", "lips", "key"})
"""What may change while the portrait stays."""


class PoseQuestion(BaseModel):
    """What does `source` look like in the pose of these settings? Answered by `preview`, a JPEG at `picture`."""

    model_config = ConfigDict(frozen=True)
    source: Path
    asked: dict[str, Any]
    picture: Path
    most_width_px: int = 1280
    most_pixels: int | None = None
    """Of the source, where whoever serves the page sets a limit."""


class PosingRoom:
    """Holds one portrait and the networks; another one takes its place."""

    def __init__(self) -> None:
        self._known: tuple[object, ...] | None = None
        self._poser: Poser | None = None

    def posed(self, source: Path, settings: PoseSettings) -> Pixels:
        """`source` posed, (H, W, 3) uint8 RGB.

        Raises BadInput, WeightsMissing, WeightsBroken; NotEnoughMemory before anything is loaded that would not fit.
        """
        changed = source.stat().st_mtime_ns if source.exists() else 0
        known = source, changed, settings.model_dump_json(exclude=set(_OF_A_POSE))
        if self._poser is None or self._known != known:
            # The last one goes first: two would not fit.
            self._poser = None
            self._poser, self._known = _looked_at(source, settings), known
        return self._poser.render(settings)


def _looked_at(source: Path, settings: PoseSettings) -> "Poser":
    find(MODEL, settings.weights)
    hardware = probe_hardware()
    device = device_for(settings, hardware)
    _check_fits(settings, device)
    name = f"{device.kind}:{device.index}" if device else "cpu"
    # Here: they load OpenCV and torch.
    from pipelines.animation.liveportrait.networks import LivePortrait
    from pipelines.animation.liveportrait.pose import Poser

    networks = LivePortrait(settings.weights, device=name)
    if settings.vram_limit_gb and device:
        limit_device(int(settings.vram_limit_gb * _GIB), name)
    poser = Poser(source, settings, networks)
    networks.release("motion")
    return poser


def _check_fits(settings: PoseSettings, device: Device | None) -> None:
    from pipelines.animation.liveportrait.memory_cost import cost

    budget = Budget.of(
        probe_hardware(),
        device_index=device.index if device else None,
        ram_limit_gb=settings.ram_limit_gb,
        vram_limit_gb=settings.vram_limit_gb,
    )
    needs = cost(on_gpu=device is not None, half=device is not None and device.kind == "cuda")
    host, card = needs.host.total_bytes(0, 1, 0), needs.device.total_bytes(0, 1, 0)
    for what, need, have in (
        ("host memory", host, budget.host_bytes),
        ("device memory", card, budget.device_bytes),
    ):
        if need > have:
            raise NotEnoughMemory(
                f"Posing needs {need / _GIB:.2f} GiB of {what}, and {have / _GIB:.2f} GiB can be used.",
                "Wait until what runs has ended, or allow it more.",
            )


def _check_size(source: Path, most_pixels: int) -> None:
    from pipelines.animation.inputs import picture_at

    video = picture_at(source).video
    if video.width * video.height > most_pixels:
        raise OverLimit(
            f"{video.width} × {video.height} is more than {most_pixels / 1e6:g} megapixels.",
            "Scale the picture down first.",
        )


def answer(room: PosingRoom, question: PoseQuestion) -> Event:
    """The answer, or `failed` with what stands against it."""
    from pipelines.storage.jpeg import save_picture

    try:
        settings = PoseSettings.model_validate(question.asked)
        if question.most_pixels is not None:
            _check_size(question.source, question.most_pixels)
        drawn = room.posed(question.source, settings)
        picture = save_picture(drawn, question.picture, most_width_px=question.most_width_px)
    except LongtakeError as error:
        return events.Failed.of("", error)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        words = "Memory ended.", "Wait until what runs has ended, or close other programs."
        return events.Failed.of("", NotEnoughMemory(*words))
    return events.Preview(job="", frame=0, path=picture)


def serve(questions: Iterator[bytes], tell: Callable[[Event], None]) -> None:
    """Answer questions, a line each, until there are no more."""
    room = PosingRoom()
    for line in questions:
        tell(answer(room, PoseQuestion.model_validate_json(line)))


def lines(descriptor: int, idle_seconds: float = IDLE_SECONDS) -> Iterator[bytes]:
    """What comes in, line by line, until it closes or nothing has come for so long."""
    rest = b""
    while select.select([descriptor], [], [], idle_seconds)[0] and (data := os.read(descriptor, 1 << 16)):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole


def main() -> None:
    """Serve stdin."""
    # Libraries that print must not write between the events.
    out = os.dup(1)
    os.dup2(2, 1)
    serve(lines(0), lambda event: _write(out, event))


def _write(descriptor: int, event: Event) -> None:
    os.write(descriptor, event.model_dump_json().encode() + b"\n")


if __name__ == "__main__":
    main()
