import pytest
import torch
from torch import nn
from torch.nn import functional

from pipelines.nets.kernels import winograd
from pipelines.nets.kernels.winograd import Conv2d, Convolution, Winograd

KERNELS = [(3, 3), (1, 5), (5, 1)]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [(1, 1), (4, 8), (13, 7), (6, 61)])
def test_it_is_the_convolution(kernel: tuple[int, int], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, *size)
    weight, bias = torch.randn(5, 6, *kernel) / 5, torch.randn(5)
    padding = kernel[0] // 2, kernel[1] // 2
    truth = functional.conv2d(x.double(), weight.double(), bias.double(), padding=padding)
    assert (Winograd(weight, bias)(x) - truth).abs().max() < 3e-5
    assert (Winograd(weight)(x) - (truth - bias.view(-1, 1, 1))).abs().max() < 3e-5


def test_its_error_is_of_the_order_of_the_direct_one() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 128, 24, 24), torch.randn(96, 128, 3, 3) / 34
    truth = functional.conv2d(x.double(), weight.double(), padding=1)
    error = (Winograd(weight)(x) - truth).square().mean().sqrt()
    assert error < 4e-6 * truth.std()


def test_layouts_do_not_matter() -> None:
    x, weight = torch.randn(2, 8, 10, 11), torch.randn(4, 8, 3, 3)
    channels_last = x.contiguous(memory_format=torch.channels_last)
    result = Winograd(weight)(channels_last)
    assert result.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(result, Winograd(weight)(x), atol=1e-5, rtol=0)


def test_bands_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.randn(1, 8, 40, 12), torch.randn(4, 8, 3, 3)
    at_once = Winograd(weight)(x)
    monkeypatch.setattr(winograd, "TILES_AT_ONCE", 1)
    # Products of other sizes are summed in another order: what that moves is a share of the outputs, not a number.
    roundings = 2e-5 * at_once.std().item()
    torch.testing.assert_close(Winograd(weight)(x), at_once, atol=roundings, rtol=0)


@pytest.mark.parametrize(
    ("weight", "used"),
    [
        (torch.zeros(64, 64, 3, 3), True),
        (torch.zeros(64, 63, 3, 3), False),
        (torch.zeros(63, 64, 3, 3), False),
        (torch.zeros(64, 64, 7, 7), False),
        (torch.zeros(64, 64, 3, 3, dtype=torch.bfloat16), False),
    ],
)
def test_it_is_used_where_it_is_faster(
    weight: torch.Tensor, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []
    monkeypatch.setattr(Winograd, "__call__", lambda self, x: taken.append(self) or x)
    Convolution(weight)(torch.zeros(1, weight.shape[1], 8, 8, dtype=weight.dtype))
    assert bool(taken) == used


@pytest.mark.parametrize("groups", [1, 2])
def test_a_layer_has_the_names_and_the_numbers_of_the_usual_one(groups: int) -> None:
    usual = nn.Conv2d(64, 64, 3, padding=1, groups=groups)
    layer = Conv2d(64, 64, 3, groups=groups)
    layer(torch.zeros(1, 64, 4, 4))  # prepared for the weights it has now
    layer.load_state_dict(usual.state_dict())
    x = torch.randn(1, 64, 9, 9)
    # The largest of thousands of errors whose mean is 2e-6 of the outputs.
    torch.testing.assert_close(layer(x), usual(x), atol=4e-5 * usual(x).std().item(), rtol=0)
    assert layer.state_dict().keys() == usual.state_dict().keys()
    assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16
