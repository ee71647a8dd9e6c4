"""Where the language model's layers wait for their turn: on the device, in host memory, or in the files.

A layer that waits elsewhere is brought by a thread while the one before computes; two are on the device at a time. The
numbers are the same wherever the layers wait.
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
        """Each layer once."""
        yield from self._layers


class OffloadedLayers:
    """Layers that wait elsewhere. Holds two on the device.

    `bring(layer, i)` fills `layer` with the numbers of layer `i`; it is called from another thread, and may raise.
    """

    def __init__(
        self,
        count: int,
        make: Callable[[], DecoderLayer],
        bring: Callable[[DecoderLayer, int], None],
        device: torch.device,
    ) -> None:
        self._count = count
        self._bring = bring
        self._slots = (make(), make())
        self._turns = _CudaTurns(device) if device.type == "cuda" else _Turns()

    def in_order(self) -> Generator[DecoderLayer]:
        """Each layer once; the one after is under way meanwhile. Raises what `bring` raises."""
        with ThreadPoolExecutor(1, thread_name_prefix="layers") as thread:
            coming = thread.submit(self._fill, 0)
            for i in range(self._count):
                coming.result()
                if i + 1 < self._count:
                    coming = thread.submit(self._fill, i + 1)
                try:
                    yield self._slots[i % 2]
                finally:
                    self._turns.used(i % 2)

    def _fill(self, i: int) -> None:
        with torch.inference_mode(), self._turns.filling(i % 2):
            self._bring(self._slots[i % 2], i)


class _Turns:
    """Where a computation has ended when it returns, a place is free once its layer was used."""

    def used(self, slot: int) -> None:
        """The layer in this place is not needed any more."""

    @contextmanager
    def filling(self, slot: int) -> Iterator[None]:
        """Around the filling of a place."""
        yield


class _CudaTurns(_Turns):
    """On a card computations end later: a place is filled on a stream of its own, after those that use it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # The places' memory may have been used for something else until now.
        self._ends = [torch.cuda.current_stream(device).record_event()] * 2

    def used(self, slot: int) -> None:
        """Note where the use of this place ends."""
        self._ends[slot] = torch.cuda.current_stream(self._device).record_event()

    @contextmanager
    def filling(self, slot: int) -> Iterator[None]:
        """Copies wait for the place to be free; leaves when they are done."""
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._ends[slot])
            yield
            self._stream.synchronize()
