"""Simulated machines: a folder that looks like `/proc` and `/sys`, a driver and a torch that are made of values."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memory.units import GIB


class FakeNvmlError(Exception):
    pass


@dataclass
class FakeCard:
    """One card as the driver tells of it. `silent` names the questions that it does not answer."""

    uuid: str
    total: int = 8 * GIB
    free: int = 8 * GIB
    name: str = "Test Card"
    processes: dict[int, int | None] = field(default_factory=dict)
    drawing: dict[int, int | None] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()


class FakeNvml:
    """Behaves like the module pynvml, over a list of cards."""

    NVMLError = FakeNvmlError

    def __init__(self, *cards: FakeCard, broken: str = "") -> None:
        self.cards = list(cards)
        self.broken = broken

    def _answer(self, question: str, card: FakeCard | None = None) -> None:
        if self.broken == question or (card and question in card.silent):
            raise FakeNvmlError(f"no answer to {question}")

    def nvmlInit(self) -> None:
        self._answer("init")

    def nvmlDeviceGetCount(self) -> int:
        self._answer("count")
        return len([card for card in self.cards if not card.uuid.startswith("MIG-")])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeCard:
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeCard:
        for card in self.cards:
            if card.uuid == uuid:
                return card
        raise FakeNvmlError("not found")

    def nvmlDeviceGetMemoryInfo(self, card: FakeCard) -> Any:
        self._answer("memory", card)
        return SimpleNamespace(total=card.total, free=card.free, used=card.total - card.free)

    def nvmlDeviceGetName(self, card: FakeCard) -> bytes:
        self._answer("name", card)
        return card.name.encode()

    def nvmlDeviceGetUUID(self, card: FakeCard) -> str:
        self._answer("uuid", card)
        return card.uuid

    def nvmlDeviceGetUtilizationRates(self, card: FakeCard) -> Any:
        self._answer("utilisation", card)
        return SimpleNamespace(gpu=37, memory=5)

    def nvmlDeviceGetComputeRunningProcesses(self, card: FakeCard) -> list[Any]:
        self._answer("processes", card)
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in card.processes.items()]

    def nvmlDeviceGetGraphicsRunningProcesses(self, card: FakeCard) -> list[Any]:
        self._answer("processes", card)
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in card.drawing.items()]


class FakeCuda:
    """torch.cuda over lists of reserved and allocated bytes."""

    def __init__(
        self,
        *,
        uuids: tuple[str, ...] = (),
        reserved: tuple[int, ...] = (),
        allocated: tuple[int, ...] = (),
        total: int = 8 * GIB,
        available: bool = True,
        initialized: bool = True,
    ) -> None:
        self.uuids, self.reserved, self.allocated, self.total = uuids, reserved, allocated, total
        self.available, self.initialized = available, initialized
        self.fractions: list[tuple[float, int]] = []
        self.calls: list[str] = []
        self.fails = False

    def is_available(self) -> bool:
        return self.available

    def is_initialized(self) -> bool:
        return self.initialized

    def device_count(self) -> int:
        return len(self.uuids)

    def get_device_properties(self, index: int) -> Any:
        return SimpleNamespace(total_memory=self.total, uuid=self.uuids[index])

    def memory_reserved(self, index: int) -> int:
        return self.reserved[index]

    def memory_allocated(self, index: int) -> int:
        return self.allocated[index]

    def set_per_process_memory_fraction(self, fraction: float, index: int) -> None:
        self.fractions.append((fraction, index))

    def synchronize(self) -> None:
        self.calls.append("cuda.synchronize")
        if self.fails:
            raise RuntimeError("CUDA error: out of memory")

    def empty_cache(self) -> None:
        self.calls.append("cuda.empty_cache")


class FakeMps:
    """torch.mps and torch.backends.mps in one."""

    def __init__(self, available: bool = False, total: int = 0, held: int = 0, used: int = 0) -> None:
        self.available, self.total, self.held, self.used = available, total, held, used
        self.fractions: list[float] = []
        self.calls: list[str] = []

    def is_available(self) -> bool:
        return self.available

    def recommended_max_memory(self) -> int:
        return self.total

    def driver_allocated_memory(self) -> int:
        return self.held

    def current_allocated_memory(self) -> int:
        return self.used

    def set_per_process_memory_fraction(self, fraction: float) -> None:
        self.fractions.append(fraction)

    def synchronize(self) -> None:
        self.calls.append("mps.synchronize")

    def empty_cache(self) -> None:
        self.calls.append("mps.empty_cache")


@pytest.fixture
def card() -> type[FakeCard]:
    return FakeCard


@pytest.fixture
def nvml() -> type[FakeNvml]:
    return FakeNvml


@pytest.fixture
def load_torch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Put a torch into `sys.modules` that has the given CUDA state (no CUDA at all by default)."""

    def load(mps: FakeMps | None = None, xpu: Any = None, **cuda: Any) -> Any:
        state = cuda or {"available": False, "initialized": False}
        mps = mps or FakeMps()
        torch = SimpleNamespace(cuda=FakeCuda(**state), mps=mps, backends=SimpleNamespace(mps=mps), xpu=xpu)
        monkeypatch.setitem(sys.modules, "torch", torch)
        return torch

    return load


@pytest.fixture
def mps() -> type[FakeMps]:
    return FakeMps


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without torch, in an environment where no build of it is known."""
    import importlib.metadata

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr("memory.devices.importlib.metadata.version", missing)
    monkeypatch.setattr("memory.devices.platform.system", lambda: "Linux")


@pytest.fixture
def machine(tmp_path: Path) -> "Machine":
    return Machine(tmp_path / "root")


class Machine:
    """A folder that stands for `/`: so much memory, and control groups with limits."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/meminfo", "")
        self.has(1024, 1000)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def has(self, total_gib: float, available_gib: float) -> None:
        kib = {"MemTotal": total_gib, "MemFree": available_gib / 2, "MemAvailable": available_gib}
        self.write("proc/meminfo", "".join(f"{k}:  {int(v * 1024**2)} kB\n" for k, v in kib.items()))

    def mounts_v2(self, own: str = "/", top: str = "/") -> None:
        self.write("proc/self/cgroup", f"0::{own}\n")
        self.write(
            "proc/self/mountinfo",
            "22 1 0:20 / /proc rw - proc proc rw\n"
            f"31 22 0:28 {top} /sys/fs/cgroup ro,nosuid shared:9 - cgroup2 cgroup rw,nsdelegate\n",
        )

    def mounts_v1(self, own: str = "/", top: str = "/") -> None:
        self.write("proc/self/cgroup", f"5:cpu,cpuacct:{own}\n4:memory:{own}\n0::/\n")
        self.write(
            "proc/self/mountinfo",
            f"33 31 0:30 {top} /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
            f"35 31 0:32 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
        )

    def group_v2(
        self, path: str, *, limit: int | str, used: int = 0, cache: int = 0, high: int | str = "max"
    ) -> None:
        folder = f"sys/fs/cgroup/{path}".rstrip("/")
        self.write(f"{folder}/memory.max", f"{limit}\n")
        self.write(f"{folder}/memory.high", f"{high}\n")
        self.write(f"{folder}/memory.current", f"{used}\n")
        self.write(f"{folder}/memory.stat", f"anon {used - cache}\nfile {cache}\ninactive_file {cache}\n")

    def group_v1(self, path: str, *, limit: int, used: int = 0, cache: int = 0) -> None:
        folder = f"sys/fs/cgroup/memory/{path}".rstrip("/")
        self.write(f"{folder}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"{folder}/memory.usage_in_bytes", f"{used}\n")
        self.write(f"{folder}/memory.stat", f"inactive_file 1\ntotal_inactive_file {cache}\n")
