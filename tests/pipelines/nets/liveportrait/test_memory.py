"""What the networks hold on a processor: little beside their weights, and these once."""

import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from memory.units import MIB
from pipelines.nets.kernels.row_stream import Piece, RowStream
from pipelines.nets.kernels.scratch import Scratch
from pipelines.nets.kernels.toom_cook import Conv
from pipelines.nets.liveportrait import loading as nets
from pipelines.nets.liveportrait.warping import halved


def test_front_and_back_of_scratch_are_side_by_side() -> None:
    scratch = Scratch()
    scratch.take("a", 10).fill_(0)
    back = scratch.take("a", 2, 3, back=True).fill_(1)
    front = scratch.take("a", 10).fill_(2)
    assert back.eq(1).all()
    assert front.shape == (10,)
    assert scratch.held_bytes() == 16 * 4


def test_scratch_keeps_no_room_for_what_is_forgotten() -> None:
    scratch = Scratch()
    scratch.take("a", 10, back=True)
    scratch.release()
    scratch.take("a", 10)
    assert scratch.held_bytes() == 10 * 4


def test_scratch_lets_go_what_is_outgrown() -> None:
    scratch = Scratch()
    outgrown = weakref.ref(scratch.take("a", 5).untyped_storage())
    scratch.take("a", 6)
    assert outgrown() is None
    assert scratch.held_bytes() == 6 * 4


@torch.no_grad()
def test_of_a_picture_that_comes_a_few_pieces_are_there() -> None:
    conv, x = Conv(128, 128, streamed=True), torch.randn(2, 128, 256, 64)
    conv.weight.normal_(0, 0.03)
    conv.bias.normal_()
    conv.fold(Scratch())
    there: list[weakref.ref[Tensor]] = []
    most = 0

    def pieces() -> Iterator[Piece]:
        nonlocal most
        for sample in range(len(x)):
            for top in range(0, 256, 16):
                piece = x[sample : sample + 1, :, top : top + 16].clone()
                there.append(weakref.ref(piece))
                yield slice(sample, sample + 1), slice(top, top + 16), piece
                most = max(most, sum(ref() is not None for ref in there))

    assert torch.equal(conv(RowStream((2, 128, 256, 64), pieces())), conv(x))
    assert len(there) == 32
    assert most <= 5


def test_a_picture_that_comes_can_be_had_whole() -> None:
    x = torch.randn(2, 3, 8, 4)
    parts = [(slice(i, i + 1), slice(t, t + 4), x[i : i + 1, :, t : t + 4]) for i in (0, 1) for t in (0, 4)]
    assert torch.equal(RowStream((2, 3, 8, 4), iter(parts)).materialise(), x)
    assert RowStream((2, 3, 8, 4), iter([(slice(0, 2), slice(0, 8), x)])).materialise() is x


def test_pixels_are_halved_as_by_pooling() -> None:
    x = torch.randn(2, 5, 3, 8, 12)
    assert torch.equal(halved(x), functional.avg_pool3d(x, (1, 2, 2)))


@torch.no_grad()
def test_a_frame_takes_little_beside_the_weights(
    liveportrait_weights: Path, tally_of: Callable[[Callable[[], object]], int]
) -> None:
    files, place = (
        {p.name: p for p in liveportrait_weights.rglob("*.pth")},
        nets.NetworkDevice(torch.device("cpu")),
    )
    warping, generator = nets.load_warping(files, place), nets.load_generator(files, place)
    points = 0.3 * torch.randn(2, 21, 3)
    source = warping.source(torch.randn(1, 32, 16, 64, 64), points[:1])
    live = tally_of(lambda: generator(warping(source, points[1:])))
    assert place.scratch.held_bytes() < 150 * MIB
    assert live < 45 * MIB


LOADING = """
import sys
from pathlib import Path
import torch
from pipelines.nets.liveportrait import loading as nets

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

path, before = Path(sys.argv[1]), most()
network = nets.load_generator({path.name: path}, nets.NetworkDevice(torch.device("cpu")))
print((most() - before) / path.stat().st_size)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the most that was held")
def test_weights_are_held_once_while_they_load(liveportrait_weights: Path) -> None:
    path = next(liveportrait_weights.rglob("spade_generator.pth"))
    command = [sys.executable, "-c", LOADING, str(path)]
    share = float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    assert share < 1.5
