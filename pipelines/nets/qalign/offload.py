"""Storage of the language model's layers: resident on the device, or offloaded to host memory or to the files.

A thread transfers an offloaded layer while the one before it computes; two are on the device at a time. Results are the
same to the bit for any storage.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from pipelines.nets.qalign.language import DecoderLayer


class ResidentLayers:
    """All layers on the device."""

    def __init__(self, layers: Sequence[DecoderLayer]) -> None:
        self._layers = layers

    def in_order(self) -> Generator[DecoderLayer]:
        """Yield each layer once."""
        yield from self._layers


class OffloadedLayers:
    """Layers in host memory or in files. Holds two on the device.

    `transfer(layer, i)` fills `layer` with the values of layer `i`; it is called from another thread, and may raise.
    """

    def __init__(
        self,
        count: int,
        make: Callable[[], DecoderLayer],
        transfer: Callable[[DecoderLayer, int], None],
        device: torch.device,
    ) -> None:
        self._count = count
        self._transfer = transfer
        self._slots = (make(), make())
        self._sync = _CudaSync(device) if device.type == "cuda" else _Sync()

    def in_order(self) -> Generator[DecoderLayer]:
        """Yield each layer once while the next one is transferred. Raises what `transfer` raises."""
        with ThreadPoolExecutor(1, thread_name_prefix="layers") as thread:
            pending = thread.submit(self._fill, 0)
            for i in range(self._count):
                pending.result()
                if i + 1 < self._count:
                    pending = thread.submit(self._fill, i + 1)
                try:
                    yield self._slots[i % 2]
                finally:
                    self._sync.used(i % 2)

    def _fill(self, i: int) -> None:
        with torch.no_grad(), self._sync.filling(i % 2):
            self._transfer(self._slots[i % 2], i)


class _Sync:
    """Synchronisation on the CPU, where a computation has ended when it returns: nothing to do."""

    def used(self, slot: int) -> None:
        """Note that the layer in this slot is no longer needed."""

    @contextmanager
    def filling(self, slot: int) -> Iterator[None]:
        """Enclose the filling of a slot."""
        yield


class _CudaSync(_Sync):
    """Synchronisation on CUDA, where computations end later: slots are filled on a separate stream, after their use."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # The memory of the slots may still be in use for something else.
        self._ends = [torch.cuda.current_stream(device).record_event()] * 2

    def used(self, slot: int) -> None:
        """Record where the use of this slot ends on the stream."""
        self._ends[slot] = torch.cuda.current_stream(self._device).record_event()

    @contextmanager
    def filling(self, slot: int) -> Iterator[None]:
        """Make copies wait until the slot is free; leave when they are done."""
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._ends[slot])
            yield
            self._stream.synchronize()
