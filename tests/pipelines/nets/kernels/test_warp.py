import pytest
import torch
from torch import Tensor

from pipelines.nets.kernels.warp import agree, warp


def constant(x: float, y: float, height: int = 6, width: int = 9) -> Tensor:
    return torch.tensor((x, y)).view(1, 2, 1, 1).expand(1, 2, height, width).contiguous()


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_flow_points_to_where_a_pixel_is_read(mode: str) -> None:
    picture = torch.rand(1, 3, 6, 9)
    moved = warp(picture, constant(2, -1), mode)
    torch.testing.assert_close(moved[:, :, 1:, :7], picture[:, :, :-1, 2:], atol=1e-5, rtol=0)
    assert moved[:, :, 0].max() < 1e-6 and moved[:, :, :, 7:].max() < 1e-6, "zero outside"


def test_between_pixels_is_a_mixture_and_it_fades_at_the_border() -> None:
    picture = torch.ones(1, 1, 6, 9)
    assert warp(picture, constant(0.25, 0))[0, 0, 0, -1] == pytest.approx(0.75, abs=1e-5)
    picture[..., 4] = 3
    assert warp(picture, constant(0.5, 0))[0, 0, 2, 3] == pytest.approx(2, abs=1e-5)


def test_half_precision_is_read_at_precise_places() -> None:
    picture = torch.arange(4096.0).view(1, 1, 1, -1) % 7
    flow = torch.zeros(1, 2, 1, 4096)
    moved = warp(picture.half(), flow.half())
    assert moved.dtype == torch.float16
    assert (moved.float() - picture).abs().max() < 0.02


def test_flows_agree_where_one_undoes_the_other() -> None:
    there, back = constant(2, 1), constant(-2, -1)
    known = agree(there, back)
    assert known.shape == (1, 1, 6, 9) and known.dtype == there.dtype
    assert known[..., :5, :7].all(), "what leads inside"
    assert not known[..., 5, :].any() and not known[..., 8:].any(), "what leads outside"
    assert not agree(there, there).any()


def test_flows_may_miss_each_other_by_a_little() -> None:
    # 0.01 (|a|^2 + |b|^2) + 0.5 is the square of what they may miss each other by.
    for off, expected in ((0.6, 1), (0.8, 0)):
        assert agree(constant(0, 0), constant(off, 0))[0, 0, 2, 4] == expected
    for off, expected in ((1.1, 1), (2.0, 0)):
        assert agree(constant(8, 0, 6, 40), constant(off - 8, 0, 6, 40))[0, 0, 2, 4] == expected


def test_there_may_be_no_flow() -> None:
    assert agree(torch.zeros(0, 2, 4, 4), torch.zeros(0, 2, 4, 4)).shape == (0, 1, 4, 4)
