"""Predict the memory of a run before it starts, and choose window and batch to fit the budget.

A plan is a value: it is stored with its job, and a resumed job uses it again.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self

from memory.budget import Budget, within_limit
from memory.units import GIB, MIB

Risk = Literal["low", "medium", "high", "cannot"]

__all__ = ["Budget", "Cost", "Load", "Plan", "Risk", "correct", "make_plan"]


@dataclass(frozen=True)
class Load:
    """Bytes that a run uses of one kind of memory, as a linear model; pixels are those of one frame.

    Frames of the batch are held in addition to those of the window.
    """

    fixed: float = 0
    per_pixel: float = 0
    per_window_frame: float = 0
    per_window_pixel: float = 0
    per_batch_frame: float = 0
    per_batch_pixel: float = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < math.inf:
                raise ValueError(f"{field.name} must be a size in bytes, not {getattr(self, field.name)}")

    def __add__(self, other: "Load") -> "Load":
        return Load(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def total_bytes(self, window: int, batch: int, pixels: int) -> int:
        """Peak bytes, rounded up."""
        return math.ceil(self.fixed + self.moving(window, batch, pixels))

    def moving(self, window: int, batch: int, pixels: int) -> float:
        """Bytes beyond the fixed part."""
        return (
            pixels * self.per_pixel
            + window * (self.per_window_frame + pixels * self.per_window_pixel)
            + batch * (self.per_batch_frame + pixels * self.per_batch_pixel)
        )

    def scaled(self, factor: float, *, fixed_too: bool) -> "Load":
        """The load with its terms multiplied by `factor`; the fixed term only with `fixed_too`."""
        grown = {field.name: getattr(self, field.name) * factor for field in fields(self)}
        return Load(**grown) if fixed_too else Load(**{**grown, "fixed": self.fixed})


@dataclass(frozen=True)
class Cost:
    """Memory of a run on the host (all its processes) and on the device (including the driver's context)."""

    host: Load = Load()
    device: Load = Load()


@dataclass(frozen=True)
class Plan:
    """Window and batch of a run, its predicted memory and budget, and the reason in a sentence."""

    window_frames: int
    batch_frames: int
    predicted_host_bytes: int
    predicted_device_bytes: int
    budget_host_bytes: int
    budget_device_bytes: int
    disk_bytes: int
    risk: Risk
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The plan that `to_json` gave. Raises TypeError where a value is missing or unknown."""
        return cls(**values)


def make_plan(
    cost: Cost,
    *,
    pixels: int,
    frames: int,
    budget: Budget,
    window: Sequence[int],
    batch: Sequence[int] = (1,),
    disk_bytes: int = 0,
) -> Plan:
    """Choose the largest window that fits with the smallest batch, then the largest batch that fits with it.

    `pixels` are those of one frame; `window` and `batch` are the permitted sizes in any order, such as a range. Sizes
    are capped at the number of `frames`. Where even the smallest do not fit, the plan has them with the risk "cannot",
    and the reason says what is missing. More memory never gives a smaller window, nor a smaller batch for the same
    window. Raises ValueError where there is no size to choose from.
    """
    windows, batches = _choices(window, frames, "window"), _choices(batch, frames, "batch")

    def shape(window_frames: int, batch_frames: int) -> Plan:
        return Plan(
            window_frames,
            batch_frames,
            cost.host.total_bytes(window_frames, batch_frames, pixels),
            cost.device.total_bytes(window_frames, batch_frames, pixels),
            budget.host_bytes,
            budget.device_bytes,
            disk_bytes,
            "cannot",
            "",
        )

    smallest = shape(windows[-1], batches[-1])
    if _use(smallest, budget) > 1:
        return replace(smallest, reason=_refusal(smallest, budget))
    chosen = next(w for w in windows if _use(shape(w, batches[-1]), budget) <= 1)
    plan = next(p for p in (shape(chosen, b) for b in batches) if _use(p, budget) <= 1)
    reduced = (plan.window_frames, plan.batch_frames) != (windows[0], batches[0])
    risk = _risk(_use(plan, budget), _use(smallest, budget), reduced)
    return replace(plan, risk=risk, reason=_explanation(plan, budget, (windows[0], batches[0]), risk))


def correct(
    cost: Cost, plan: Plan, *, pixels: int, measured_host_bytes: int, measured_device_bytes: int = 0
) -> Cost:
    """Correct `cost` by what the first windows of `plan` used, so that it predicts at least what was measured.

    What exceeds the fixed part is attributed to windows and batches. A lower measurement reduces the prediction to half
    at most, since a few windows may not have reached the peak. A measurement of 0 is ignored.
    """

    def corrected(load: Load, measured_bytes: int) -> Load:
        moving = load.moving(plan.window_frames, plan.batch_frames, pixels)
        if measured_bytes <= 0 or load.fixed + moving < 1:
            return replace(load, fixed=max(load.fixed, measured_bytes))
        if measured_bytes > load.fixed and moving >= 1:
            return load.scaled(max(0.5, (measured_bytes - load.fixed) / moving), fixed_too=False)
        return load.scaled(max(0.5, measured_bytes / (load.fixed + moving)), fixed_too=True)

    return Cost(corrected(cost.host, measured_host_bytes), corrected(cost.device, measured_device_bytes))


def _choices(sizes: Sequence[int], frames: int, name: str) -> list[int]:
    """The distinct sizes capped at the number of frames, largest first."""
    if not sizes or min(sizes) < 1:
        raise ValueError(f"a {name} is chosen from sizes of at least 1 frame, not from {list(sizes[:5])}")
    return sorted({min(size, max(1, frames)) for size in sizes}, reverse=True)


def _use(plan: Plan, budget: Budget) -> float:
    """The largest used fraction of the budgets; above 1 the plan does not fit."""
    host = plan.predicted_host_bytes + (plan.predicted_device_bytes if budget.unified else 0)
    return max(
        _fraction(host, budget.host_bytes),
        _fraction(plan.predicted_device_bytes, budget.device_bytes),
        _fraction(plan.disk_bytes, math.inf if budget.disk_bytes is None else budget.disk_bytes),
    )


def _fraction(need: float, have: float) -> float:
    if need <= 0:
        return 0.0
    return need / have if have > 0 else math.inf


def _risk(use: float, smallest_use: float, reduced: bool) -> Risk:
    """High where even the smallest plan nearly fills the budget; low where the largest one fits with room to spare."""
    if smallest_use > 0.9:
        return "high"
    return "low" if use <= 0.7 and not reduced else "medium"


def _explanation(plan: Plan, budget: Budget, largest: tuple[int, int], risk: Risk) -> str:
    shape = f"windows of {plan.window_frames} frames in batches of {plan.batch_frames}"
    parts = [f"{_gib(plan.predicted_host_bytes)} of {_gib(plan.budget_host_bytes)} host memory"]
    if plan.predicted_device_bytes:
        parts.append(f"{_gib(plan.predicted_device_bytes)} of {_gib(plan.budget_device_bytes)} device memory")
    if plan.disk_bytes and budget.disk_bytes is not None:
        parts.append(f"{_gib(plan.disk_bytes)} of {_gib(budget.disk_bytes)} disk")
    sentence = f"{shape} use {', '.join(parts)}"
    if (plan.window_frames, plan.batch_frames) != largest:
        sentence += f"; {largest[0]} frames in batches of {largest[1]} would not fit"
    if risk == "high":
        sentence += "; memory is tight"
    return f"{sentence[0].upper()}{sentence[1:]}."


def _refusal(plan: Plan, budget: Budget) -> str:
    """What is missing, and which limit would suffice where a limit is the cause."""
    host = plan.predicted_host_bytes + (plan.predicted_device_bytes if budget.unified else 0)
    parts = []
    if _fraction(host, budget.host_bytes) > 1:
        parts.append(
            _missing(host, budget.host_bytes, "host memory", "--ram-limit-gb", budget.ram_limit_bytes)
        )
    if _fraction(plan.predicted_device_bytes, budget.device_bytes) > 1:
        need = plan.predicted_device_bytes
        parts.append(
            _missing(need, budget.device_bytes, "device memory", "--vram-limit-gb", budget.vram_limit_bytes)
        )
    if budget.disk_bytes is not None and _fraction(plan.disk_bytes, budget.disk_bytes) > 1:
        parts.append(_missing(plan.disk_bytes, budget.disk_bytes, "disk", "", None))
    return f"The run needs at least {' and '.join(parts)}."


def _missing(need: int, have: int, kind: str, flag: str, limit_bytes: int | None) -> str:
    needed, there = _gib(need), _gib(have)
    if needed == there:  # Rounded, they look alike.
        needed, there = f"{math.ceil(need / MIB)} MiB", f"{have // MIB} MiB"
    text = f"{needed} of {kind}, but {there} is available"
    if limit_bytes is not None and have == within_limit(limit_bytes):
        text += f" ({flag} {math.ceil(need / 0.9 / GIB * 10) / 10:.1f} or more would suffice)"
    return text


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / GIB:.2f} GiB" if size_bytes >= GIB / 100 else f"{math.ceil(size_bytes / MIB)} MiB"
