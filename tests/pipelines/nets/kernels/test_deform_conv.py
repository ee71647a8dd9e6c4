import importlib.util
import sys
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.nets.kernels import deform_conv
from pipelines.nets.kernels.deform_conv import Alignment, deform, torchvision_kernel
from pipelines.nets.propainter.flow_completion import load_flow_completion
from pipelines.nets.propainter.generator import load_generator
from tests.simulated_card import simulated_card


def by_definition(x: Tensor, offsets: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One output, channel and tap after the other."""
    _, channels, height, width = x.shape
    out = bias.view(-1, 1, 1).repeat(1, height, width)

    def at(channel: int, row: int, column: int) -> float:
        return float(x[0, channel, row, column]) if 0 <= row < height and 0 <= column < width else 0.0

    for row in range(height):
        for column in range(width):
            for channel in range(channels):
                group = channel * 16 // channels
                for tap in range(9):
                    down, right = (float(v) for v in offsets[0, row, column, group, tap])
                    y, z = row + tap // 3 - 1 + down, column + tap % 3 - 1 + right
                    top, left = int(y // 1), int(z // 1)
                    fy, fz = y - top, z - left
                    value = (1 - fy) * ((1 - fz) * at(channel, top, left) + fz * at(channel, top, left + 1))
                    value += fy * (
                        (1 - fz) * at(channel, top + 1, left) + fz * at(channel, top + 1, left + 1)
                    )
                    value *= float(modulation[0, row, column, group, tap])
                    out[:, row, column] += weight[:, channel, tap // 3, tap % 3] * value
    return out[None]


def example(height: int, width: int, channels: int = 32) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    offsets = 3 * torch.randn(1, height, width, 16, 9, 2)
    offsets[0, 0, 0] *= 1e6  # far outside
    modulation, weight = torch.rand(1, height, width, 16, 9), torch.randn(6, channels, 3, 3) / 17
    return torch.randn(1, channels, height, width), offsets, modulation, weight, torch.randn(6)


def test_it_is_what_is_defined() -> None:
    given = example(3, 4)
    torch.testing.assert_close(deform(*given), by_definition(*given), atol=1e-5, rtol=0)


@pytest.mark.parametrize("limit", [None, 1])
def test_other_devices_compute_the_same_in_few_operations(
    limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, *given = example(7, 5)
    frames = [torch.cat((x, x.flip(2))), *(torch.cat((each, each)) for each in given[:2]), *given[2:]]
    expected = deform(*frames)
    if limit:
        monkeypatch.setattr(deform_conv, "DEVICE_SCRATCH_BYTES", limit)
    with simulated_card() as card, torch.no_grad():
        found = deform(*(each.to("sim") for each in frames))
        torch.testing.assert_close(found.cpu(), expected, atol=1e-5, rtol=0)
        assert card.operations.total() <= (20 if limit is None else 20 * 7)
        assert not card.waits - Counter(download=1)


@pytest.mark.parametrize(
    ("height", "width", "channels"), [(180, 320, 128), (90, 160, 256), (120, 160, 128)], ids=str
)
@pytest.mark.parametrize("kind", [torch.float16, torch.float32], ids=str)
def test_a_call_is_a_few_operations_in_stated_memory(
    height: int, width: int, channels: int, kind: torch.dtype
) -> None:
    with simulated_card(values=False) as card, torch.no_grad():
        pixels = 1, height, width, 16, 9
        x, weight, bias = (
            torch.empty(shape, device="sim", dtype=kind)
            for shape in ((1, channels, height, width), (128, channels, 3, 3), (128,))
        )
        given = torch.empty(*pixels, 2, device="sim"), torch.empty(pixels, device="sim")
        card.reset()
        before = card.held_bytes
        result = deform(x, *given, weight, bias)
        assert card.operations.total() <= 20
        assert (
            card.peak_bytes - before <= deform_conv.DEVICE_SCRATCH_BYTES + 2 * result.nbytes + 4 * x.numel()
        )


def test_bands_and_frames_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, offsets, modulation, weight, bias = example(7, 5)
    at_once = deform(x, offsets, modulation, weight, bias)
    monkeypatch.setattr(deform_conv, "SCRATCH_BYTES", 1)
    both = [torch.cat((one, one.flip(0) * 0.5)) for one in (x, offsets, modulation)]
    torch.testing.assert_close(deform(*both, weight, bias)[:1], at_once, atol=1e-5, rtol=0)
    alone = deform(*(one[1:] for one in both), weight, bias)
    torch.testing.assert_close(deform(*both, weight, bias)[1:], alone, atol=1e-5, rtol=0)


def test_a_flow_moves_all_offsets() -> None:
    layer = Alignment(16, 4, 0.0)
    torch.nn.init.normal_(layer.weight, std=0.1)
    torch.nn.init.zeros_(layer.bias)
    x, condition = torch.randn(1, 16, 8, 9), torch.randn(1, 4, 8, 9)
    flow = torch.tensor((2.0, -1.0)).view(1, 2, 1, 1).expand(1, 2, 8, 9)
    with torch.inference_mode():
        torch.nn.init.zeros_(layer.conv_offset[6].weight)
        layer.conv_offset[6].bias.zero_()
        still, moved = layer(x, condition), layer(x, condition, flow)
    torch.testing.assert_close(moved[:, :, 2:-1, 1:6], still[:, :, 1:-2, 3:8], atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close(dtype: torch.dtype) -> None:
    x, offsets, modulation, weight, bias = example(6, 6)
    exact = deform(x, offsets, modulation, weight, bias)
    half = deform(x.to(dtype), offsets, modulation, weight.to(dtype), bias.to(dtype))
    assert half.dtype == dtype
    assert (half.float() - exact).abs().max() < (
        0.05 if dtype == torch.bfloat16 else 0.01
    ) * exact.abs().max()


def test_golden(
    propainter_golden: Callable[[str], dict[str, Tensor]], propainter_weights: Callable[[str], Path]
) -> None:
    golden = propainter_golden("deform")
    generator = load_generator(propainter_weights("ProPainter")).feat_prop_module.deform_align["forward_1"]
    completion = load_flow_completion(propainter_weights("recurrent_flow_completion"))
    with torch.inference_mode():
        found = generator(golden["gen_x"], golden["gen_cond"], golden["gen_flow"])
        assert (found - golden["gen_out"]).abs().max() < 1e-4
        found = completion.feat_prop_module.deform_align["forward_"](golden["fc_x"], golden["fc_cond"])
        assert (found - golden["fc_out"]).abs().max() < 1e-4


@pytest.mark.parametrize("installed", [False, True])
def test_torchvision_is_used_where_it_is_installed(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = object()
    operations = types.ModuleType("torchvision.ops")
    operations.deform_conv2d = kernel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.ops", operations)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    torchvision_kernel.cache_clear()
    assert torchvision_kernel() is (kernel if installed else None)
    torchvision_kernel.cache_clear()
