"""GPUs and their memory, according to the driver and to torch's allocator.

The driver is queried through NVML, so that a process without torch can probe it. Where torch is loaded, memory that its
allocator has reserved but does not use counts as free, because it is free to us.
"""

import importlib
import importlib.metadata
import os
import platform
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from memory.compute import ComputeDevice, compute_device, known_devices, loaded_torch, registered_devices

HIDDEN = (("CUDA_VISIBLE_DEVICES", ""),)
"""Variables of the environment at which a process sees no device besides the processor."""


@dataclass(frozen=True)
class Device:
    """One GPU. `index` counts the visible devices, as CUDA does.

    `others_bytes` is used by other processes; `reusable_bytes` is reserved by our allocator but unused.
    """

    kind: str
    index: int
    name: str
    uuid: str
    total_bytes: int
    free_bytes: int
    reusable_bytes: int = 0
    others_bytes: int = 0
    utilisation_percent: int | None = None

    @property
    def available_bytes(self) -> int:
        """What we could still allocate: free memory, and what our allocator has reserved."""
        return min(self.total_bytes, self.free_bytes + self.reusable_bytes)

    def limited(self, limit_bytes: int) -> "Device":
        """The same device as if it had at most this much memory."""
        total = min(self.total_bytes, limit_bytes)
        return replace(self, total_bytes=total, free_bytes=min(self.free_bytes, total))

    @property
    def alone(self) -> tuple[tuple[str, str], ...]:
        """Variables of the environment at which a process sees no other device; none where there is no such way."""
        return (("CUDA_VISIBLE_DEVICES", self.uuid or str(self.index)),) if self.kind == "cuda" else ()

    @property
    def shares_host(self) -> bool:
        """Whether the device uses the host's memory."""
        return self.kind == "mps"


class NoDevice(str):
    """A sentence that says why no device can be used; `code` names the reason, `detail` is what a driver said of it."""

    code: str
    detail: str

    def __new__(cls, text: str = "", code: str = "", detail: str = "") -> Self:
        """Make the sentence `text`; empty where there is a device."""
        made = super().__new__(cls, text)
        made.code, made.detail = code, detail
        return made


def find_devices(
    host_total_bytes: int,
    host_available_bytes: int,
    *,
    nvml: Any = None,
    environ: Mapping[str, str] = os.environ,
    own_pids: Collection[int] = (),
) -> tuple[tuple[Device, ...], NoDevice]:
    """Find the usable devices; where there are none, a sentence says why.

    `nvml` is the module `pynvml` or a substitute; `own_pids` are our processes besides this one.
    """
    if others := registered_devices():
        return tuple(map(_described, others)), NoDevice()
    if platform.system() == "Darwin":
        return _find_mps(host_total_bytes, host_available_bytes)
    if reason := _why_torch_cannot():
        return (), reason
    nvml, reason = _open(nvml)
    if nvml is None:
        return (), reason
    try:
        return _visible(nvml, environ, {os.getpid(), *own_pids})
    except nvml.NVMLError as error:
        sentence = f"The NVIDIA driver reports an error ({error}); computing on the CPU."
        return (), NoDevice(sentence, "driver_error", str(error))


def device_reader(nvml: Any = None) -> Callable[[Collection[int]], int]:
    """Return a function from process ids to the device bytes that they use, cheap enough to be called often.

    The driver is opened once, here. In a container the driver may know our processes by other ids; then this process
    counts with what its own allocator has reserved.
    """
    nvml, _ = _open(nvml)

    def held_bytes(pids: Collection[int]) -> int:
        by_driver = 0
        if nvml is not None:
            with suppress(nvml.NVMLError):
                handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
                by_driver = sum(_held_bytes(nvml, handle, pids) for handle in handles)
        return max(by_driver, _reserved_bytes())

    return held_bytes


def limit_device(limit_bytes: int, device: str) -> bool:
    """Limit torch's allocator to `limit_bytes` on `device` (`cuda:1`, `mps`); False without such a device, as on `cpu`.

    Beyond the limit torch raises its usual out-of-memory error. Loads torch, unless on `cpu`. Raises ValueError where
    the limit is not positive.
    """
    return compute_device(device).limit(limit_bytes)


def fix_threads(count: int) -> None:
    """Let torch compute with `count` threads in this process. Loads torch.

    Sums over a whole tensor may differ in their last bits with the number of threads (a mean did between one and four,
    torch 2.13 on x86-64), and the default is the number of cores: another machine would give other bytes.
    """
    importlib.import_module("torch").set_num_threads(count)


def _open(nvml: Any) -> tuple[Any, NoDevice]:
    """The initialised NVML module, or None and the reason."""
    try:
        # Imported here, because it may be missing where there can be no NVIDIA GPU.
        nvml = nvml or importlib.import_module("pynvml")
        nvml.nvmlInit()
    except ImportError:
        sentence = "GPUs cannot be detected because pynvml is not installed; computing on the CPU."
        return None, NoDevice(sentence, "no_pynvml")
    except nvml.NVMLError as error:
        sentence = f"No NVIDIA driver was found ({error}); computing on the CPU."
        return None, NoDevice(sentence, "no_driver", str(error))
    return nvml, NoDevice()


def _why_torch_cannot() -> NoDevice:
    """The reason why torch cannot use a GPU; empty where none is known."""
    torch = loaded_torch()
    if torch is not None:
        if torch.cuda.is_available():
            return NoDevice()
        return NoDevice("This torch cannot use a GPU; computing on the CPU.", "torch_cannot")
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version("torch")
        if version.endswith("+cpu"):
            sentence = f"The installed torch {version} is built for the CPU alone; computing on the CPU."
            return NoDevice(sentence, "torch_cpu", version)
    return NoDevice()


def _visible(
    nvml: Any, environ: Mapping[str, str], own: Collection[int]
) -> tuple[tuple[Device, ...], NoDevice]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        handles = _chosen(nvml, handles, visible)
    devices = tuple(_describe(nvml, handle, index, own) for index, handle in enumerate(handles))
    if devices:
        return devices, NoDevice()
    if visible is None:
        return (), NoDevice("The NVIDIA driver lists no GPU; computing on the CPU.", "none_listed")
    sentence = f"CUDA_VISIBLE_DEVICES is {visible!r}, which selects no GPU; computing on the CPU."
    return (), NoDevice(sentence, "none_visible", visible)


def _chosen(nvml: Any, handles: list[Any], visible: str) -> list[Any]:
    """The handles that CUDA would make visible. Like CUDA, stops at the first entry that names no device."""
    shown: list[Any] = []
    for entry in (part.strip() for part in visible.split(",")):
        handle = None
        if entry.isdecimal():
            handle = handles[int(entry)] if int(entry) < len(handles) else None
        elif entry.startswith("MIG-"):
            with suppress(nvml.NVMLError):
                handle = nvml.nvmlDeviceGetHandleByUUID(entry)
        elif entry:
            matches = [h for h in handles if _text(nvml.nvmlDeviceGetUUID(h)).startswith(entry)]
            handle = matches[0] if len(matches) == 1 else None
        if handle is None:
            break
        shown.append(handle)
    return shown


def _describe(nvml: Any, handle: Any, index: int, own: Collection[int]) -> Device:
    """Describe a device; what it does not report (MIG slices, old GPUs) is left empty."""
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    name, uuid, utilisation = "GPU", "", None
    with suppress(nvml.NVMLError):
        name = _text(nvml.nvmlDeviceGetName(handle))
    with suppress(nvml.NVMLError):
        uuid = _text(nvml.nvmlDeviceGetUUID(handle))
    with suppress(nvml.NVMLError):
        utilisation = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    reserved, allocated = _torch_bytes(index, uuid)
    held = max(_held_bytes(nvml, handle, own), reserved)
    return Device(
        kind="cuda",
        index=index,
        name=name,
        uuid=uuid,
        total_bytes=int(memory.total),
        free_bytes=int(memory.free),
        reusable_bytes=max(0, reserved - allocated),
        others_bytes=max(0, int(memory.total) - int(memory.free) - held),
        utilisation_percent=utilisation,
    )


def _held_bytes(nvml: Any, handle: Any, pids: Collection[int]) -> int:
    """Device bytes that the processes use, as far as the driver reports them."""
    held: dict[int, int] = {}
    for list_processes in (
        nvml.nvmlDeviceGetComputeRunningProcesses,
        nvml.nvmlDeviceGetGraphicsRunningProcesses,
    ):
        with suppress(nvml.NVMLError):
            for process in list_processes(handle):
                # A process that computes and renders is in both lists, with the same bytes.
                held[process.pid] = max(held.get(process.pid, 0), int(process.usedGpuMemory or 0))
    return sum(size for pid, size in held.items() if pid in pids)


def _torch_bytes(index: int, uuid: str) -> tuple[int, int]:
    """Bytes that torch's allocator has reserved on a device, and how many of them are in use."""
    if not compute_device("cuda").in_use:
        return 0, 0
    cuda: Any = loaded_torch().cuda
    # CUDA may number GPUs by speed, while NVML numbers them by PCI bus: the UUID identifies them.
    ids = [f"GPU-{cuda.get_device_properties(i).uuid}" for i in range(cuda.device_count())]
    if uuid in ids:
        index = ids.index(uuid)
    if index >= len(ids):
        return 0, 0
    device = compute_device(f"cuda:{index}")
    return device.reserved_bytes(), device.allocated_bytes()


def _reserved_bytes() -> int:
    devices = known_devices()
    if any(device.kind == "cuda" for device in devices):
        count = loaded_torch().cuda.device_count()
        return sum(compute_device(f"cuda:{index}").reserved_bytes() for index in range(count))
    return sum(device.reserved_bytes() for device in devices)


def _find_mps(host_total_bytes: int, host_available_bytes: int) -> tuple[tuple[Device, ...], NoDevice]:
    """Apple's GPU, which uses the host's memory."""
    torch = loaded_torch()
    if torch is not None:
        if not torch.backends.mps.is_available():
            return (), NoDevice("This torch cannot use Apple's GPU; computing on the CPU.", "torch_cannot")
        device = compute_device("mps")
        total, held = device.total_bytes(), device.reserved_bytes()
        reusable = max(0, held - device.allocated_bytes())
    elif platform.machine() == "arm64":
        # Metal recommends about two thirds of a small machine's memory; torch knows the exact size once loaded.
        total, held, reusable = host_total_bytes * 2 // 3, 0, 0
    else:
        return (), NoDevice("This Mac has no GPU that torch can use; computing on the CPU.", "no_apple")
    free = max(0, min(total - held, host_available_bytes))
    return (Device("mps", 0, "Apple GPU", "", total, free, reusable),), NoDevice()


def _described(device: ComputeDevice) -> Device:
    reusable = max(0, device.reserved_bytes() - device.allocated_bytes())
    free = device.free_bytes()
    return Device(device.kind, device.index or 0, device.name, "", device.total_bytes(), free, reusable)


def _text(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else text
