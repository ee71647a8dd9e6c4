"""Loading of LivePortrait's networks from the published files, prepared for a device."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from memory.compute import is_on_host
from memory.oom import release
from pipelines.errors import WeightsBroken
from pipelines.nets.checkpoint import fill, read
from pipelines.nets.kernels.scratch import Scratch
from pipelines.nets.liveportrait.appearance import AppearanceExtractor
from pipelines.nets.liveportrait.folding import prepare
from pipelines.nets.liveportrait.generator import SpadeGenerator
from pipelines.nets.liveportrait.motion import MotionExtractor
from pipelines.nets.liveportrait.retargeting import WIDTHS, Perceptron
from pipelines.nets.liveportrait.warping import WarpingModule

NetworkT = TypeVar("NetworkT", bound=nn.Module)
Files = Mapping[str, Path]
"""Paths by published file name."""


@dataclass(frozen=True)
class NetworkDevice:
    """The device and precision of networks: the CPU in float32, or a GPU in float32 or (`half`) float16."""

    device: torch.device
    half: bool = False
    scratch: Scratch = field(default_factory=Scratch)
    """Intermediate memory that networks on the CPU share: only one of them may compute at a time."""


def load_appearance(files: Files, target: NetworkDevice) -> AppearanceExtractor:
    """Load the appearance feature extractor; 3 MB of weights."""
    return _network(AppearanceExtractor, files["appearance_feature_extractor.pth"], target)


def load_motion(files: Files, target: NetworkDevice) -> MotionExtractor:
    """Load the motion extractor, always in float32, since its outputs are few and kept; 112 MB of weights."""
    return _network(MotionExtractor, files["motion_extractor.pth"], replace(target, half=False))


def load_warping(files: Files, target: NetworkDevice) -> WarpingModule:
    """Load the warping module; 182 MB of weights in float32, and 44 MB more on the CPU."""
    return _network(WarpingModule, files["warping_module.pth"], target)


def load_generator(files: Files, target: NetworkDevice) -> SpadeGenerator:
    """Load the picture generator; 222 MB of weights in float32."""
    return _network(SpadeGenerator, files["spade_generator.pth"], target)


def load_retargeting(files: Files) -> dict[str, Perceptron]:
    """Load the stitching and retargeting networks by published name, in float32 on the CPU; 1 MB of weights."""
    path = files["stitching_retargeting_module.pth"]
    tables, networks = read(path), {}
    for name in WIDTHS:
        if not isinstance(tables.get(name), dict):
            raise WeightsBroken(f"{path.name} has no part {name}.", "Fetch the published file again.")
        # Saved from the wrapper for training on several GPUs, which prefixes names.
        tensors = {str(key).replace("module.", ""): value for key, value in tables[name].items()}
        networks[name] = _filled(lambda name=name: Perceptron(name), tensors, f"{path.name}, {name},")  # type: ignore[misc]
    return networks


def _network(make: Callable[[], NetworkT], path: Path, target: NetworkDevice) -> NetworkT:
    network = _filled(make, read(path), path.name)

    def refill(name: str, part: nn.Module) -> None:
        # From a new mapping of the file, so that pages already read do not stay in memory beside the folded kernels.
        start = f"{name}."
        found = {key.removeprefix(start): value for key, value in read(path).items() if key.startswith(start)}
        part.load_state_dict(found, assign=True)
        part.requires_grad_(False)

    if is_on_host(target.device):
        prepare(network, target.scratch, refill)
    else:
        prepare(network)
    # Return free memory now: later large allocations would otherwise fragment the heap.
    release()
    return network.to(target.device, torch.float16 if target.half else torch.float32)


def _filled(make: Callable[[], NetworkT], tensors: Mapping[str, Tensor], name: str) -> NetworkT:
    """Build a network around `tensors`, without initialising weights or copying them."""
    with torch.device("meta"):
        network = make()
    fill(network, tensors, name)
    return network.requires_grad_(False).eval()
