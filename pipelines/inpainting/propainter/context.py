"""What the stations of one chain share: networks on a device, frames on the host, an order, and a way down."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memory.ladder import Ladder
from pipelines.inpainting.propainter.frame_cache import SlidingFrameCache
from pipelines.inpainting.propainter.schedule import Schedule

if TYPE_CHECKING:
    from torch import nn

    from pipelines.nets.propainter.flow_completion import FlowCompletion
    from pipelines.nets.propainter.generator import InpaintGenerator
    from pipelines.nets.raft.model import Raft


class ProPainterNetworks:
    """The three networks on one device. They may be made to wait on the host while another one computes."""

    def __init__(
        self, raft: "Raft", completion: "FlowCompletion", generator: "InpaintGenerator", device: str = "cpu"
    ) -> None:
        self.device = device
        self._raft, self._completion, self._generator = raft, completion, generator
        self._alone = False

    @property
    def raft(self) -> "Raft":
        """Estimates flows; always in float32."""
        self._call(self._raft)
        return self._raft

    def completion(self, precision: str) -> "FlowCompletion":
        """Completes flows."""
        self._call(self._completion, precision)
        return self._completion

    def generator(self, precision: str) -> "InpaintGenerator":
        """Paints."""
        self._call(self._generator, precision)
        return self._generator

    def leave_alone(self) -> bool:
        """From now on only the network at work is on the device; False where that changes nothing."""
        changed = self.device != "cpu" and not self._alone
        self._alone = self._alone or changed
        return changed

    def _call(self, wanted: "nn.Module", precision: str = "float32") -> None:
        import torch

        if self._alone:
            for each in (self._raft, self._completion, self._generator):
                if each is not wanted:
                    each.to("cpu")
        wanted.to(self.device, getattr(torch, precision))


@dataclass(frozen=True)
class ChainContext:
    """One chain's means. `ladder` runs what may run out of memory, once more with less.

    `check_interrupt` is called before everything that takes long, and raises where the run is to stop.
    """

    cache: SlidingFrameCache
    networks: ProPainterNetworks
    ladder: Ladder
    schedule: Schedule
    check_interrupt: Callable[[], None]


@contextmanager
def computing() -> Iterator[None]:
    """Without gradients, and with all digits of float32: left alone, a card rounds them to 10 bits in convolutions."""
    import torch

    with torch.no_grad(), torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
        yield
