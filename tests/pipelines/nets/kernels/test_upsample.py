import pytest
import torch
from torch.nn import functional

from pipelines.nets.kernels.upsample import Region, Upsample, upsample


@pytest.mark.parametrize(
    "region", [Region(3, 11, 4, 12, 14, 17), Region(0, 9, 8, 17, 14, 17), Region(2, 14, 0, 9, 14, 17)]
)
def test_a_region_is_what_it_is_in_the_whole(region: Region) -> None:
    picture = torch.randn(2, 3, 14, 17)
    whole = functional.interpolate(picture, scale_factor=2, mode="bilinear", align_corners=True)
    found = upsample(region.crop(picture), region)
    assert found.shape == region.scaled(2).crop(whole).shape
    near = [
        0 if edge else 3
        for edge in (region.top == 0, region.bottom == 14, region.left == 0, region.right == 17)
    ]
    rows, columns = slice(near[0], found.shape[2] - near[1]), slice(near[2], found.shape[3] - near[3])
    expected = region.scaled(2).crop(whole)
    torch.testing.assert_close(found[..., rows, columns], expected[..., rows, columns], atol=1e-5, rtol=0)


def test_a_layer_takes_whole_pictures_by_default() -> None:
    layer, picture = Upsample(3, 4), torch.randn(1, 3, 5, 6)
    torch.testing.assert_close(layer(picture), layer(picture, Region.whole(5, 6)))
    assert layer(picture).shape == (1, 4, 10, 12)


def test_padding_is_clipped_to_the_picture() -> None:
    assert Region(1, 5, 4, 10, 20, 11).padded(3) == Region(0, 8, 1, 11, 20, 11)
    assert Region(1, 5, 4, 10, 20, 11).padded(30).is_whole


@pytest.mark.parametrize(("positions", "tops"), [(1000, [2]), (30, [2, 7, 12]), (1, [2, 5, 8, 11, 14])])
def test_bands_cover_a_region(positions: int, tops: list[int]) -> None:
    bands = list(Region(2, 16, 1, 7, 20, 11).bands(positions, 3))
    assert [band.top for band in bands] == tops
    assert [band.bottom for band in bands] == [*tops[1:], 16]
