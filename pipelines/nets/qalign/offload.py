"""Storage of the language model's layers: resident on the device, or offloaded to host memory or to the files.

A thread transfers an offloaded layer while the one before it computes; two are on the device at a time. Results are the
same to the bit for any storage.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from memory.compute import compute_device
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
        self._copies = compute_device(device).copies(len(self._slots))

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
                    self._copies.used(i % 2)

    def _fill(self, i: int) -> None:
        with torch.no_grad(), self._copies.filling(i % 2):
            self._transfer(self._slots[i % 2], i)
