"""Memory plan of the ProPainter engine: what a run holds, and the configuration that fits; decided before the start."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from memory.budget import Budget
from memory.compute import is_on_host
from memory.plan import Cost, Load, make_plan
from memory.units import MIB
from pipelines.inpainting.propainter.canvas import Canvas, asked_size
from pipelines.inpainting.propainter.schedule import Schedule
from pipelines.nets.propainter import memory_cost as costs
from pipelines.settings import InpaintSettings
from pipelines.video.info import VideoInfo
from pipelines.vision.types import Size
from presets.choose import Choice

KEPT, ON_DEMAND = "kept", "on demand"
"""RAFT's correlation volume: kept whole, or computed on demand at each look-up, which is slower and needs no memory."""

_LIBRARY_BYTES = 350 * MIB
"""Host memory of torch while it computes."""
_CONTEXT_BYTES = 600 * MIB
"""GPU memory of the driver's context and the kernels' workspace."""

_FLOW_BYTES, _LINK_BYTES, _QUARTER_BYTES, _UPDATE_BYTES = 16, 18, 1, 7
"""Per pixel: a pair of raw flows, a link inside a hole, a link's quarter-size flows, and a hole's propagated state."""
_FRAME_BYTES, _MASK_BYTES, _ENCODED_VALUES = 3.2, 4, 8
"""Per pixel: a cached frame with its packed mask, a float mask, and the values of an encoded frame (128 / 4 / 4)."""
_HOLE_SHARE = 0.25
"""Share of a frame that is planned for as a hole."""

_SHRINKING = (0.85, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Sizes to try, as shares of the largest, when nothing else fits."""
_MOST_PAIRS = ((640, 12), (720, 8), (1280, 4))
"""Frame pairs estimated together, up to a width, as published; two for wider frames."""


@dataclass(frozen=True)
class Configuration:
    """A memory configuration of a run. `pairs` and `cached_frames` change no result."""

    size: Size
    precision: str = "float32"
    correlation: str = KEPT
    cached_frames: int = 0
    pairs: int = 1

    def values(self) -> dict[str, int | str]:
        """Return the values that are stored with the job."""
        return {
            "work_width": self.size[0],
            "work_height": self.size[1],
            "precision": self.precision,
            "correlation": self.correlation,
            "cached_frames": self.cached_frames,
            "batch_frames": self.pairs,
        }

    @classmethod
    def of(cls, choice: Choice) -> "Configuration | None":
        """Restore the configuration of the job's first start; None if there is none."""
        known = choice.values
        if "correlation" not in known:
            return None
        size = choice.number("work_width"), choice.number("work_height")
        correlation, cached = str(known["correlation"]), choice.number("cached_frames")
        return cls(size, str(known["precision"]), correlation, cached, choice.number("batch_frames"))


@dataclass(frozen=True)
class Workload:
    """What is to be computed, on which kind of device, beside what the rest of the run holds (`around`)."""

    video: VideoInfo
    settings: InpaintSettings
    schedule: Schedule
    device: str
    around: Load

    @property
    def on_gpu(self) -> bool:
        """Whether the networks run on a GPU."""
        return not is_on_host(self.device)

    def canvas(self, configuration: Configuration) -> Canvas:
        """Return the canvas on which frames are computed."""
        return Canvas.of((self.video.width, self.video.height), self.settings, configuration.size)


def fit_configuration(workload: Workload, choice: Choice, budget: Budget) -> tuple[Choice, Cost]:
    """Choose the first configuration that fits `budget`, the least harmful first; the last one if none fits.

    Returns `choice` with its values, and its cost. The configuration of an earlier start is kept.
    """
    decided = Configuration.of(choice)
    candidates = [decided] if decided else list(configurations(workload, choice))
    configuration = next(
        (candidate for candidate in candidates if _fits(workload, candidate, budget)), candidates[-1]
    )
    width, height = workload.canvas(configuration).work.whole
    words = f"{choice.reason[:-1]}, computed at {width}x{height} in {configuration.precision}"
    words += ", correlations on demand." if configuration.correlation == ON_DEMAND else "."
    choice = replace(choice, values={**choice.values, **configuration.values()}, reason=words)
    return choice, cost_of(workload, configuration)


def _fits(workload: Workload, configuration: Configuration, budget: Budget) -> bool:
    pixels = workload.video.width * workload.video.height
    cost = cost_of(workload, configuration)
    return make_plan(cost, pixels=pixels, frames=1, budget=budget, window=(1,)).risk != "cannot"


def configurations(workload: Workload, choice: Choice) -> Iterator[Configuration]:
    """Yield configurations in the order in which they are tried: changing no result, then precision, then size.

    The published output is computed at its own size and the requested precision, or not at all.
    """
    settings, video = workload.settings, workload.video
    limits = choice.number("max_side_px"), choice.number("most_pixels")
    largest = asked_size((video.width, video.height), settings, *limits)
    size_set = settings.reference_output or settings.width or settings.height or settings.resize_ratio
    for ratio in (1.0,) if size_set else (1.0, *_SHRINKING):
        size = int(largest[0] * ratio), int(largest[1] * ratio)
        for precision in _precisions(workload):
            for correlation in (KEPT, ON_DEMAND):
                for cached in (workload.schedule.most_reused, 0):
                    for pairs in _pairs(size[0]) if workload.on_gpu else (1,):
                        yield Configuration(size, precision, correlation, cached, pairs)


def cost_of(workload: Workload, configuration: Configuration) -> Cost:
    """Return the peak memory of a configuration, on the host and on the GPU."""
    host, device_bytes = _host_bytes(workload, configuration), _network_bytes(workload, configuration)
    weights = sum(costs.WEIGHTS_BYTES.values())
    fixed = workload.around.fixed + _LIBRARY_BYTES + weights + host
    if workload.on_gpu:
        device = Load(fixed=_CONTEXT_BYTES + weights + device_bytes)
        return Cost(host=replace(workload.around, fixed=fixed), device=device)
    fixed += device_bytes + sum(costs.PREPARED_BYTES.values())
    return Cost(host=replace(workload.around, fixed=fixed))


def _host_bytes(workload: Workload, configuration: Configuration) -> int:
    """Return what the chain's steps hold on the host."""
    schedule, canvas = workload.schedule, workload.canvas(configuration)
    length, around = schedule.subvideo_length, max(schedule.step, schedule.reach)
    frames = min(schedule.frames, 3 * length + 2 * around + 30)
    links, updates = (
        min(schedule.flows, 2 * length + 2 * around),
        min(schedule.frames, 2 * length + 2 * around),
    )
    raw = min(schedule.flows, length + 10)
    (width, height), (picture_width, picture_height) = canvas.work.whole, canvas.work.picture
    share = max(_HOLE_SHARE, 1 - picture_width * picture_height / (width * height))
    bytes_per_pixel = (
        _FRAME_BYTES * frames
        + _FLOW_BYTES * (raw + 10)
        + _MASK_BYTES * raw
        + (_QUARTER_BYTES + _LINK_BYTES * share) * links
        + _UPDATE_BYTES * share * updates
    )
    return int(bytes_per_pixel * canvas.computed[0] * canvas.computed[1])


def _network_bytes(workload: Workload, configuration: Configuration) -> int:
    """Return the networks' peak memory; one of them computes at a time."""
    schedule, (width, height) = workload.schedule, workload.canvas(configuration).computed
    bytes_each = 2 if configuration.precision == "float16" else 4
    flows = min(schedule.flows, schedule.subvideo_length + 10)
    local = min(schedule.frames, 2 * schedule.step + 1)
    on_demand = configuration.correlation == ON_DEMAND
    peak = max(
        costs.raft(height, width, configuration.pairs, on_demand=on_demand),
        costs.completion(height, width, flows, bytes_each, on_gpu=workload.on_gpu),
        costs.encode(height, width, 1, bytes_each),
        costs.paint(height, width, local, schedule.longest_window, bytes_each, on_gpu=workload.on_gpu),
    )
    return peak + configuration.cached_frames * _ENCODED_VALUES * bytes_each * width * height


def _precisions(workload: Workload) -> tuple[str, ...]:
    if not workload.on_gpu:
        return ("float32",)
    if workload.settings.fp16:
        return ("float16",)
    return ("float32",) if workload.settings.reference_output else ("float32", "float16")


def _pairs(width: int) -> list[int]:
    most = next((pairs for limit, pairs in _MOST_PAIRS if width <= limit), 2)
    return [pairs for pairs in (12, 8, 4, 2, 1) if pairs <= most]
