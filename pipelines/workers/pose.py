"""The process that poses portraits: one question per line on stdin, its answer as an event on stdout.

Networks and portrait stay loaded until another portrait is requested, so that the next pose takes one frame's time.
The process exits when its stdin closes and after some idle minutes.
"""

import json
import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from memory.budget import Budget
from memory.compute import compute_device
from memory.devices import Device, limit_device
from memory.oom import is_out_of_memory
from memory.probe import probe_hardware
from memory.units import GIB, KIB
from pipelines.errors import LongtakeError, NotEnoughMemory
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.inputs import InputFile
from pipelines.settings import PoseSettings
from pipelines.settings.devices import device_for, device_limit_bytes, torch_name
from pipelines.storage.atomic import write_bytes
from pipelines.storage.names import StoredPath, to_json
from pipelines.video.pictures.limits import check_pixels
from pipelines.weights.locate import find

if TYPE_CHECKING:
    from pipelines.animation.liveportrait.pose import Poser
    from pipelines.vision.types import Pixels

MODEL = "liveportrait"
IDLE_SECONDS = 180.0
"""Idle time after which the networks' memory is worth more than a quick next pose."""

_POSE_SETTINGS = frozenset({"pitch", "yaw", "roll", "eyes", "lips", "key"})
"""Settings that can change without reloading the portrait."""


class PoseQuestion(BaseModel):
    """What does `source` look like in the pose of these settings? Answered by `preview`, a JPEG at `picture`.

    A file beside it, with the suffix `.json`, says whether parts of the source are `transparent`.
    """

    model_config = ConfigDict(frozen=True)
    source: StoredPath
    asked: dict[str, Any]
    picture: StoredPath
    most_width_px: int = 1280
    most_pixels: int | None = None
    """Largest size of the source, where the server sets a limit."""


class PoserCache:
    """Holds the networks and one portrait, replaced when another one is requested."""

    def __init__(self) -> None:
        self._known: tuple[object, ...] | None = None
        self._poser: Poser | None = None

    def posed(self, source: Path, settings: PoseSettings) -> "Pixels":
        """Pose `source` and return (H, W, 3) uint8 RGB.

        Raises BadInput, WeightsMissing, WeightsBroken; NotEnoughMemory, before loading what would not fit.
        """
        contents = InputFile.of(source).fingerprint if source.exists() else ""
        known = source, contents, settings.model_dump_json(exclude=set(_POSE_SETTINGS))
        if self._poser is None or self._known != known:
            # Release the old one first: two might not fit.
            self._poser = None
            self._poser, self._known = _load(source, settings), known
        return self._poser.render(settings)

    @property
    def transparent(self) -> bool:
        """Whether parts of the last portrait are transparent; they show the background of its settings."""
        return self._poser is not None and self._poser.transparent


def _load(source: Path, settings: PoseSettings) -> "Poser":
    find(MODEL, settings.weights)
    hardware = probe_hardware()
    device = device_for(settings, hardware)
    _check_fits(settings, device, _decoding_bytes(source, settings))
    name = torch_name(device)
    # Imported here because they load OpenCV and torch.
    from pipelines.animation.liveportrait.networks import LivePortrait
    from pipelines.animation.liveportrait.pose import Poser

    networks = LivePortrait(settings.weights, device=name)
    if limit_bytes := device_limit_bytes(settings):
        limit_device(limit_bytes, name)
    poser = Poser(source, settings, networks)
    networks.release("motion")
    return poser


def _decoding_bytes(source: Path, settings: PoseSettings) -> int:
    """Estimate what reading the portrait holds; the networks are loaded by then."""
    from pipelines.animation.faces.crop import limit_size
    from pipelines.animation.inputs import picture_at, picture_bytes

    media = picture_at(source)
    height, width = limit_size(media.video.height, media.video.width, settings.source_max_dim)
    return picture_bytes(media, (width, height))


def _check_fits(settings: PoseSettings, device: Device | None, decoding_bytes: int) -> None:
    from pipelines.animation.liveportrait.memory_cost import cost

    budget = Budget.of(
        probe_hardware(),
        device_index=device.index if device else None,
        ram_limit_gb=settings.ram_limit_gb,
        vram_limit_gb=settings.vram_limit_gb,
    )
    loads = cost(on_gpu=device is not None, half=compute_device(torch_name(device)).prefers_float16)
    host = loads.host.total_bytes(0, 1, 0) + decoding_bytes
    card = loads.device.total_bytes(0, 1, 0)
    for what, need, have in (
        ("host memory", host, budget.host_bytes),
        ("device memory", card, budget.device_bytes),
    ):
        if need > have:
            raise NotEnoughMemory(
                f"Posing loads {need / GIB:.2f} GiB of {what}, and {have / GIB:.2f} GiB can be used.",
                "Wait until the running job has ended, or raise the limit.",
                "memory.pose",
                needed_bytes=need,
                have_bytes=have,
            )


def _check_size(source: Path, most_pixels: int) -> None:
    from pipelines.animation.inputs import picture_at

    video = picture_at(source).video
    check_pixels(video.width, video.height, most_pixels)


def answer(cache: PoserCache, question: PoseQuestion) -> Event:
    """Answer `question`; with `failed` where an error prevents it."""
    from pipelines.storage.jpeg import save_picture

    try:
        settings = PoseSettings.model_validate(question.asked)
        if question.most_pixels is not None:
            _check_size(question.source, question.most_pixels)
        drawn = cache.posed(question.source, settings)
        described = json.dumps({"transparent": cache.transparent})
        write_bytes(question.picture.with_suffix(".json"), described.encode())
        picture = save_picture(drawn, question.picture, most_width_px=question.most_width_px)
    except LongtakeError as error:
        return events.Failed.of("", error)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        words = "Out of memory.", "Wait until the running job has ended, or close other programs."
        return events.Failed.of("", NotEnoughMemory(*words, "memory.pose_killed"))
    return events.Preview(job="", frame=0, path=picture)


def serve(questions: Iterator[bytes], emit: Callable[[Event], None]) -> None:
    """Answer questions, one per line, until there are no more."""
    cache = PoserCache()
    for line in questions:
        emit(answer(cache, PoseQuestion.model_validate_json(line)))


def lines(descriptor: int, idle_seconds: float = IDLE_SECONDS) -> Iterator[bytes]:
    """Yield the lines of `descriptor` until it closes or stays silent for `idle_seconds`."""
    rest = b""
    while select.select([descriptor], [], [], idle_seconds)[0] and (data := os.read(descriptor, 64 * KIB)):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole


def main() -> None:
    """Serve stdin."""
    # Libraries that print must not write between the events: their stdout becomes stderr.
    out = os.dup(1)
    os.dup2(2, 1)
    serve(lines(0), lambda event: _write(out, event))


def _write(descriptor: int, event: Event) -> None:
    os.write(descriptor, to_json(event) + b"\n")


if __name__ == "__main__":
    main()
