import pytest
import torch
from torch.nn import functional

from pipelines.nets.kernels.upsample import Enlarged, Part, enlarge


@pytest.mark.parametrize(
    "part", [Part(3, 11, 4, 12, 14, 17), Part(0, 9, 8, 17, 14, 17), Part(2, 14, 0, 9, 14, 17)]
)
def test_a_part_is_what_it_is_in_the_whole(part: Part) -> None:
    picture = torch.randn(2, 3, 14, 17)
    whole = functional.interpolate(picture, scale_factor=2, mode="bilinear", align_corners=True)
    found = enlarge(part.of(picture), part)
    assert found.shape == part.scaled(2).of(whole).shape
    near = [0 if edge else 3 for edge in (part.top == 0, part.bottom == 14, part.left == 0, part.right == 17)]
    rows, columns = slice(near[0], found.shape[2] - near[1]), slice(near[2], found.shape[3] - near[3])
    expected = part.scaled(2).of(whole)
    torch.testing.assert_close(found[..., rows, columns], expected[..., rows, columns], atol=1e-5, rtol=0)


def test_a_layer_takes_whole_pictures_by_default() -> None:
    layer, picture = Enlarged(3, 4), torch.randn(1, 3, 5, 6)
    torch.testing.assert_close(layer(picture), layer(picture, Part.whole(5, 6)))
    assert layer(picture).shape == (1, 4, 10, 12)


def test_parts_grow_where_there_is_room() -> None:
    assert Part(1, 5, 4, 10, 20, 11).grown(3) == Part(0, 8, 1, 11, 20, 11)
    assert Part(1, 5, 4, 10, 20, 11).grown(30).all


@pytest.mark.parametrize(("positions", "tops"), [(1000, [2]), (30, [2, 7, 12]), (1, [2, 5, 8, 11, 14])])
def test_bands_cover_a_part(positions: int, tops: list[int]) -> None:
    bands = list(Part(2, 16, 1, 7, 20, 11).bands(positions, 3))
    assert [band.top for band in bands] == tops
    assert [band.bottom for band in bands] == [*tops[1:], 16]
