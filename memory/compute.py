"""What a device that networks compute on can do: the one place that knows kinds of devices by their names.

Everything else asks a `ComputeDevice`. Another kind is added with `register`, without a change anywhere else. Nothing
here loads torch before a method needs it.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


def loaded_torch() -> Any:
    """The module torch where it is loaded; None before that and while another thread is loading it."""
    torch = sys.modules.get("torch")
    return None if getattr(getattr(torch, "__spec__", None), "_initializing", False) else torch


class Copies:
    """Order between copies into slots of memory and their use; on the host each has ended when it returns."""

    def used(self, slot: int) -> None:
        """Note that what lies in this slot is no longer needed, after all that was asked of the device until now."""

    @contextmanager
    def filling(self, slot: int) -> Iterator[None]:
        """Enclose the filling of a slot, from any thread."""
        yield


class ComputeDevice:
    """One device, by torch's name of it. This class is any kind that torch knows and that needs nothing of its own."""

    is_host = False
    """Computes on the processor, in the host's memory: a computation has ended when it returns."""
    has_float16 = True
    """Computes in float16 at the speed of float32 or more."""
    prefers_float16 = False
    """Networks that may run at either precision take float16: checked against float32 on this kind."""
    has_vision_kernels = False
    """torchvision's kernels run there."""
    suits_auto = False
    """Networks are fast enough there, and checked on this kind, to be chosen by themselves."""

    def __init__(self, kind: str, index: int | None = None) -> None:
        self.kind, self.index = kind, index

    @property
    def name(self) -> str:
        """Torch's name: `cuda:1`."""
        return self.kind if self.index is None else f"{self.kind}:{self.index}"

    @property
    def usable(self) -> bool:
        """Whether this process can compute there. Loads torch."""
        module = self._module
        return module is not None and bool(module.is_available())

    @property
    def in_use(self) -> bool:
        """Whether this process may hold memory there; never loads torch nor wakes the device."""
        module = getattr(loaded_torch(), self.kind, None)
        return module is not None and bool(module.is_available())

    def total_bytes(self) -> int:
        """Memory of the device. Loads torch."""
        return int(self._module.mem_get_info(self.index or 0)[1])

    def free_bytes(self) -> int:
        """Memory that nobody uses. Loads torch."""
        return int(self._module.mem_get_info(self.index or 0)[0])

    def reserved_bytes(self) -> int:
        """What our allocator has taken from the device, used or not; 0 before its first use."""
        return 0

    def allocated_bytes(self) -> int:
        """How much of that is in use."""
        return 0

    def limit(self, limit_bytes: int) -> bool:
        """Let the allocator take at most so much, then raise torch's out-of-memory error; False where it cannot.

        The driver's context does not count. Loads torch. Raises ValueError where the limit is not positive.
        """
        check_limit(limit_bytes)
        return False

    def synchronise(self) -> None:
        """Wait until all that was asked of the device has ended."""
        module = self._module
        if module is not None and hasattr(module, "synchronize"):
            module.synchronize()

    def release(self) -> None:
        """Return the memory that the allocator keeps for later. Raises torch's RuntimeError after a failure there."""
        module = self._module
        if module is not None and hasattr(module, "empty_cache"):
            module.empty_cache()

    def copies(self, slots: int) -> Copies:
        """Return what orders copies into `slots` of the device's memory beside computations."""
        return Copies()

    @property
    def _module(self) -> Any:
        """Torch's module for this kind; None where it has none."""
        return getattr(importlib.import_module("torch"), self.kind, None)


class Processor(ComputeDevice):
    """The processor."""

    is_host = True
    has_float16 = False


class Cuda(ComputeDevice):
    """An NVIDIA GPU, or one of AMD, which torch names the same."""

    prefers_float16 = True
    has_vision_kernels = True
    suits_auto = True

    def total_bytes(self) -> int:
        """As the driver says."""
        return int(self._module.get_device_properties(self.index or 0).total_memory)

    @property
    def in_use(self) -> bool:
        """Whether a context was made; to make one takes memory."""
        torch = loaded_torch()
        return torch is not None and bool(torch.cuda.is_initialized())

    def reserved_bytes(self) -> int:
        """As torch's caching allocator says."""
        return int(self._module.memory_reserved(self.index or 0)) if self.in_use else 0

    def allocated_bytes(self) -> int:
        """As torch's caching allocator says."""
        return int(self._module.memory_allocated(self.index or 0)) if self.in_use else 0

    def limit(self, limit_bytes: int) -> bool:
        """Limit the caching allocator."""
        check_limit(limit_bytes)
        if not self.usable:
            return False
        share = min(1.0, limit_bytes / self.total_bytes())
        self._module.set_per_process_memory_fraction(share, self.index or 0)
        return True

    def copies(self, slots: int) -> Copies:
        """Copies run on a stream of their own."""
        return _StreamCopies(self._module, self.name, slots)


class Apple(ComputeDevice):
    """Apple's GPU, which uses the host's memory."""

    def total_bytes(self) -> int:
        """What Metal recommends."""
        return int(self._module.recommended_max_memory())

    def free_bytes(self) -> int:
        """What is left of that beside our own."""
        return max(0, self.total_bytes() - self.reserved_bytes())

    @property
    def in_use(self) -> bool:
        """Whether torch is loaded and can use it."""
        torch = loaded_torch()
        return torch is not None and bool(torch.backends.mps.is_available())

    @property
    def usable(self) -> bool:
        """As torch says."""
        return bool(importlib.import_module("torch").backends.mps.is_available())

    def reserved_bytes(self) -> int:
        """What the driver gave to this process."""
        return int(self._module.driver_allocated_memory()) if self.in_use else 0

    def allocated_bytes(self) -> int:
        """What tensors take of it."""
        return int(self._module.current_allocated_memory()) if self.in_use else 0

    def limit(self, limit_bytes: int) -> bool:
        """Limit torch's allocator."""
        check_limit(limit_bytes)
        if not self.usable:
            return False
        self._module.set_per_process_memory_fraction(min(1.0, limit_bytes / self.total_bytes()))
        return True


class _StreamCopies(Copies):
    """Computations end later than they return: slots are filled on a separate stream, after their use."""

    def __init__(self, module: Any, name: str, slots: int) -> None:
        self._module, self._name = module, name
        self._stream = module.Stream(name)
        # The memory of the slots may still be in use for something else.
        self._ends = [module.current_stream(name).record_event()] * slots

    def used(self, slot: int) -> None:
        """Record where the use of this slot ends on the stream."""
        self._ends[slot] = self._module.current_stream(self._name).record_event()

    @contextmanager
    def filling(self, slot: int) -> Iterator[None]:
        """Make copies wait until the slot is free; leave when they are done."""
        with self._module.stream(self._stream):
            self._stream.wait_event(self._ends[slot])
            yield
            self._stream.synchronize()


CPU = "cpu"
_KINDS: dict[str, Callable[[str, int | None], ComputeDevice]] = {
    CPU: Processor,
    "cuda": Cuda,
    "mps": Apple,
    "xpu": ComputeDevice,
}
_OWN = tuple(_KINDS)


def compute_device(device: Any) -> ComputeDevice:
    """Return the device that torch calls `device`: a name or a `torch.device`. The same object each time."""
    kind, _, index = str(device).partition(":")
    return _made(kind, int(index) if index else None)


def is_on_host(device: Any) -> bool:
    """Tell whether what torch calls `device` is the processor; cheap enough for each layer of a network."""
    return compute_device(device).is_host


def register(kind: str, make: Callable[[str, int | None], ComputeDevice]) -> None:
    """Let `make` give the devices of a further kind, such as a test's; its first one is listed where it is usable."""
    _KINDS[kind] = make
    _made.cache_clear()


def unregister(kind: str) -> None:
    """Forget a kind that was registered."""
    del _KINDS[kind]
    _made.cache_clear()


def registered_devices() -> list[ComputeDevice]:
    """Return the first device of each kind that was registered and is usable."""
    found = [_made(kind, 0) for kind in _KINDS if kind not in _OWN]
    return [device for device in found if device.usable]


def known_devices() -> list[ComputeDevice]:
    """Return a device of each kind on which this process may hold memory."""
    found = [_made(kind, None) for kind in _KINDS]
    return [device for device in found if not device.is_host and device.in_use]


def check_limit(limit_bytes: int) -> None:
    """Raise ValueError where a limit is not positive."""
    if limit_bytes <= 0:
        raise ValueError(f"a device limit must be positive, not {limit_bytes} bytes")


@cache
def _made(kind: str, index: int | None) -> ComputeDevice:
    return _KINDS.get(kind, ComputeDevice)(kind, index)
