"""LivePortrait's networks, filled from its published files and made ready for a device."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from memory.oom import release
from pipelines.errors import WeightsBroken
from pipelines.nets.checkpoint import fill, read
from pipelines.nets.kernels.scratch import Scratch
from pipelines.nets.liveportrait.appearance import AppearanceExtractor
from pipelines.nets.liveportrait.folding import ready
from pipelines.nets.liveportrait.generator import SpadeGenerator
from pipelines.nets.liveportrait.motion import MotionExtractor
from pipelines.nets.liveportrait.retargeting import WIDTHS, Perceptron
from pipelines.nets.liveportrait.warping import WarpingModule

NetworkT = TypeVar("NetworkT", bound=nn.Module)
Files = Mapping[str, Path]
"""By their published names."""


@dataclass(frozen=True)
class NetworkDevice:
    """Where networks compute: on a processor in float32, or on a card in float32 or, `half`, in float16."""

    device: torch.device
    half: bool = False
    scratch: Scratch = field(default_factory=Scratch)
    """What networks on a processor share; so one of them computes at a time."""


def load_appearance(files: Files, place: NetworkDevice) -> AppearanceExtractor:
    """The extractor of features; 3 MB of weights."""
    return _network(AppearanceExtractor, files["appearance_feature_extractor.pth"], place)


def load_motion(files: Files, place: NetworkDevice) -> MotionExtractor:
    """The extractor of motion, always float32: its numbers are few, and kept; 112 MB of weights."""
    return _network(MotionExtractor, files["motion_extractor.pth"], replace(place, half=False))


def load_warping(files: Files, place: NetworkDevice) -> WarpingModule:
    """The warp by keypoints; 182 MB of weights in float32, and on processors 44 MB more."""
    return _network(WarpingModule, files["warping_module.pth"], place)


def load_generator(files: Files, place: NetworkDevice) -> SpadeGenerator:
    """What draws the pictures; 222 MB of weights in float32."""
    return _network(SpadeGenerator, files["spade_generator.pth"], place)


def load_retargeting(files: Files) -> dict[str, Perceptron]:
    """The small networks by their published names, in float32 on the processor; 1 MB of weights."""
    path = files["stitching_retargeting_module.pth"]
    tables, networks = read(path), {}
    for name in WIDTHS:
        if not isinstance(tables.get(name), dict):
            raise WeightsBroken(f"{path.name} has no part {name}.", "Fetch the published file again.")
        # The published names were saved from a wrapper that trained on several cards.
        tensors = {str(key).replace("module.", ""): value for key, value in tables[name].items()}
        networks[name] = _filled(lambda name=name: Perceptron(name), tensors, f"{path.name}, {name},")  # type: ignore[misc]
    return networks


def _network(make: Callable[[], NetworkT], path: Path, place: NetworkDevice) -> NetworkT:
    network = _filled(make, read(path), path.name)

    def refill(name: str, part: nn.Module) -> None:
        # From the file mapped anew: pages that were looked at before are not held beside what became of them.
        start = f"{name}."
        found = {key.removeprefix(start): value for key, value in read(path).items() if key.startswith(start)}
        part.load_state_dict(found, assign=True)
        part.requires_grad_(False)

    if place.device.type == "cpu":
        ready(network, place.scratch, refill)
    else:
        ready(network)
    # Before what is large comes and is put between what stays.
    release()
    return network.to(place.device, torch.float16 if place.half else torch.float32)


def _filled(make: Callable[[], NetworkT], tensors: Mapping[str, Tensor], name: str) -> NetworkT:
    """A network that takes `tensors` as they are: none are drawn, or copied, only to be replaced."""
    with torch.device("meta"):
        network = make()
    fill(network, tensors, name)
    return network.requires_grad_(False).eval()
