"""What the steps of a chain share: networks on a device, cached frames, the schedule, and the ladder for memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memory.compute import is_on_host
from memory.ladder import Ladder
from pipelines.inpainting.propainter.frame_cache import SlidingFrameCache
from pipelines.inpainting.propainter.schedule import Schedule

if TYPE_CHECKING:
    from torch import nn

    from pipelines.nets.propainter.flow_completion import FlowCompletion
    from pipelines.nets.propainter.generator import InpaintGenerator
    from pipelines.nets.raft.model import Raft


class ProPainterNetworks:
    """The three networks on one device; idle ones can be offloaded to the host while another computes."""

    def __init__(
        self, raft: "Raft", completion: "FlowCompletion", generator: "InpaintGenerator", device: str = "cpu"
    ) -> None:
        self.device = device
        self._raft, self._completion, self._generator = raft, completion, generator
        self._alone = False

    @property
    def raft(self) -> "Raft":
        """The flow estimator, on the device; always in float32."""
        self._call(self._raft)
        return self._raft

    def completion(self, precision: str) -> "FlowCompletion":
        """The flow completion network, on the device."""
        self._call(self._completion, precision)
        return self._completion

    def generator(self, precision: str) -> "InpaintGenerator":
        """The generator, on the device."""
        self._call(self._generator, precision)
        return self._generator

    def leave_alone(self) -> bool:
        """Offload idle networks from now on; returns False if that changes nothing."""
        changed = not is_on_host(self.device) and not self._alone
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
    """Shared state of one chain. `ladder` runs what may exhaust memory, and retries it with less effort.

    `check_interrupt` is called before each long computation, and raises if the run is to stop.
    """

    cache: SlidingFrameCache
    networks: ProPainterNetworks
    ladder: Ladder
    schedule: Schedule
    check_interrupt: Callable[[], None]


@contextmanager
def computing() -> Iterator[None]:
    """Compute without gradients and in full float32: by default GPUs round to TF32's 10 bits in convolutions."""
    import torch

    with torch.no_grad(), torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
        yield
