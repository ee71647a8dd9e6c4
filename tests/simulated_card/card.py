"""What a simulated card counts: its memory, what ran on it, what moved to it and back, when the host waited."""

import weakref
from collections import Counter
from dataclasses import dataclass, field
from threading import RLock

import torch
from torch import Tensor

from memory.units import GIB, MIB

BLOCK_BYTES = 512
"""A card's allocator rounds each size up to a multiple of this (CUDA, with PyTorch's caching allocator)."""
CAPACITY_BYTES = 80 * GIB
"""Of a card without a limit; it stands in the message alone."""


@dataclass(slots=True)
class Transfers:
    """Copies in one direction, and their bytes."""

    count: int = 0
    bytes: int = 0

    def add(self, tensor: Tensor) -> None:
        """Count a copy of this tensor's values."""
        self.count += 1
        self.bytes += tensor.nbytes


@dataclass(eq=False)
class Card:
    """The state of one card. With `values` False its tensors have shapes only: zeros come back, nothing is computed."""

    limit_bytes: int | None = None
    values: bool = True
    held_bytes: int = 0
    """Storages that live, each once."""
    peak_bytes: int = 0
    """The most that was held since `reset`."""
    operations: Counter[str] = field(default_factory=Counter)
    """What a card would launch kernels for, by name: views, empty memory and transfers are none."""
    waits: Counter[str] = field(default_factory=Counter)
    """What made the host wait for the card, by name."""
    uploads: Transfers = field(default_factory=Transfers)
    downloads: Transfers = field(default_factory=Transfers)
    _known: set[int] = field(default_factory=set, repr=False)
    _lock: RLock = field(
        default_factory=RLock, repr=False
    )  # reentrant: a storage may die while another is added

    @property
    def home(self) -> torch.device:
        """The device on which the values, or the shapes, really lie."""
        return torch.device("cpu" if self.values else "meta")

    def reset(self) -> None:
        """Count anew; the peak starts at what is held."""
        self.operations.clear()
        self.waits.clear()
        self.uploads, self.downloads = Transfers(), Transfers()
        self.peak_bytes = self.held_bytes

    def add(self, storage: torch.UntypedStorage) -> None:
        """Count a storage once while it lives. Raises torch.OutOfMemoryError where it does not fit."""
        key, size = storage._cdata, -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES
        with self._lock:
            if key in self._known:
                return
            if self.limit_bytes is not None and self.held_bytes + size > self.limit_bytes:
                raise torch.OutOfMemoryError(self._refusal(size))
            self._known.add(key)
            self.held_bytes += size
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)
        weakref.finalize(storage, self._drop, key, size).atexit = False

    def _drop(self, key: int, size: int) -> None:
        with self._lock:
            self._known.discard(key)
            self.held_bytes -= size

    def _refusal(self, size: int) -> str:
        """CUDA's words."""
        total = CAPACITY_BYTES if self.limit_bytes is None else self.limit_bytes
        free, held = _amount(total - self.held_bytes), _amount(self.held_bytes)
        return (
            f"CUDA out of memory. Tried to allocate {_amount(size)}. GPU 0 has a total capacity of {_amount(total)} of"
            f" which {free} is free. Including non-PyTorch memory, this process has {held} memory in use. Of the"
            f" allocated memory {held} is allocated by PyTorch, and 0 bytes is reserved by PyTorch but unallocated."
        )


def _amount(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB else f"{size / MIB:.2f} MiB"
