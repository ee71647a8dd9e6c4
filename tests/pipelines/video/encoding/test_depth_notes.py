"""What a codec cannot keep of depth, chroma and HDR is said; nothing is said where nothing is lost."""

from dataclasses import replace

import pytest

from pipelines.video.encoding.depth_notes import depth_notes
from pipelines.video.info import ColourTags

PQ = ColourTags("tv", "bt2020nc", "bt2020", "smpte2084")


@pytest.mark.parametrize("codec", ["h264", "h265", "av1_10", "ffv1", "prores4444"])
def test_nothing_is_said_of_8_bits(video, codec) -> None:
    assert depth_notes(replace(video(), pixel_format="yuv444p"), codec) == ()


def test_hdr_in_8_bits_is_told_with_the_target(video) -> None:
    hdr = replace(video(), pixel_format="yuv420p10le", bit_depth=10, colour=PQ)
    (note,) = depth_notes(hdr, "h264")
    assert "203 cd/m2" in note and "1000 cd/m2" in note and "--codec auto" in note
    assert depth_notes(hdr, "av1_10") == depth_notes(hdr, "h265_10") == depth_notes(hdr, "prores422hq") == ()


def test_lost_bits_and_chroma_are_told(video) -> None:
    deep = replace(video(), pixel_format="yuv444p12le", bit_depth=12)
    assert "8 of the 12 bits" in depth_notes(deep, "vp9")[0]
    assert "10 bits and 4:2:0; the source has 12 bits and 4:4:4" in depth_notes(deep, "av1_10")[0]
    assert "10 bits and 4:4:4; the source has 12 bits" in depth_notes(deep, "prores4444")[0]
    assert depth_notes(deep, "ffv1") == ()
