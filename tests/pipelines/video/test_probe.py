"""What is known before the first frame: counts, times, orientation, colours, sound, damage."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from pipelines.errors import DamagedVideo, LongtakeError, NotAVideo, NoVideoStream, UnsupportedVideo
from pipelines.video import probe as probe_module
from pipelines.video.decoders import counting
from pipelines.video.files import ffmpeg as ffmpeg_module
from pipelines.video.info import Audio, ColourTags
from pipelines.video.probe import probe

Clips = Callable[[str], Path]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("zero_bytes.mp4", NotAVideo),
        ("text.mp4", NotAVideo),
        ("page.mp4", NotAVideo),
        ("no_moov.mp4", NotAVideo),
        ("playlist.mp4", NotAVideo),
        ("sound.m4a", NoVideoStream),
        ("sound.mp3", NoVideoStream),
        ("cover.mp3", NoVideoStream),
        ("size_changes.ts", UnsupportedVideo),
        ("truncated.mp4", DamagedVideo),
        ("truncated.mkv", DamagedVideo),
        ("truncated_fragments.mp4", DamagedVideo),
        ("middle_overwritten.mp4", DamagedVideo),
        ("mostly_zero.mp4", DamagedVideo),
        ("flipped.mp4", DamagedVideo),
    ],
)
def test_what_cannot_be_used_is_named(name: str, error: type[LongtakeError], clips: Clips) -> None:
    path = clips(name)
    with pytest.raises(error) as raised:
        probe(path)
    assert str(path) in raised.value.message
    assert raised.value.hint
    assert "\n" not in str(raised.value)
    assert ("--salvage" in raised.value.hint) == (error is DamagedVideo)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NotAVideo, match="does not exist"):
        probe(tmp_path / "nothing.mp4")


def test_a_damaged_file_is_refused_before_its_frames_are_decoded(clips: Clips, monkeypatch) -> None:
    monkeypatch.setattr(counting, "by_decoding", None)
    with pytest.raises(DamagedVideo):
        probe(clips("truncated.mp4"))


def test_a_long_film_is_not_decoded_beforehand(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "_SHORT_CLIP_BYTES", 0)
    monkeypatch.setattr(counting, "by_decoding", None)
    assert probe(clips("closed.mp4")).frames == 96


def test_salvaging_looks_at_all_frames_of_a_long_film(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "_SHORT_CLIP_BYTES", 0)
    assert probe(clips("flipped.mp4"), salvage=True).salvaged
    assert not probe(clips("closed.mp4"), salvage=True).salvaged


def test_nothing_of_a_file_can_be_read(clips: Clips, tmp_path: Path) -> None:
    data = bytearray(clips("closed.mp4").read_bytes())
    begin, end = data.index(b"mdat") + 4, data.rindex(b"moov") - 4
    data[begin:end] = bytes(end - begin)
    broken = tmp_path / "empty.mp4"
    broken.write_bytes(data)
    for salvage in (False, True):
        with pytest.raises(DamagedVideo):
            probe(broken, salvage=salvage)


@pytest.mark.parametrize("name", ["closed.mp4", "plain.avi"])  # it looks at the first frame, or only counts
def test_a_hanging_ffmpeg_is_given_up(
    name: str, clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = tmp_path / "ffmpeg"
    stuck.write_text("#!/bin/sh\nexec sleep 600\n")
    stuck.chmod(0o755)
    path = clips(name)
    monkeypatch.setattr(ffmpeg_module, "binary", lambda: str(stuck))
    monkeypatch.setattr(probe_module, "_FIRST_FRAME_SECONDS", 0.05)
    monkeypatch.setattr(counting, "_PATIENCE_SECONDS", 0.05)
    with pytest.raises(LongtakeError, match="did not finish"):
        probe(path)


@pytest.mark.parametrize(
    ("name", "rotation", "mirrored", "size"),
    [
        ("closed.mp4", 0, False, (160, 96)),
        ("rotated_90.mp4", 90, False, (96, 160)),
        ("rotated_180.mp4", 180, False, (160, 96)),
        ("rotated_270.mp4", 270, False, (96, 160)),
        ("mirrored.mp4", None, True, (160, 96)),
    ],
)
def test_orientation(name, rotation, mirrored, size, clips: Clips) -> None:
    info = probe(clips(name))
    assert (info.width, info.height) == size
    assert info.mirrored is mirrored
    assert rotation is None or info.rotation == rotation


def test_an_odd_angle_is_refused(clips: Clips, ffmpeg, tmp_path: Path) -> None:
    path = tmp_path / "tilted.mp4"
    ffmpeg("-display_rotation", "30", "-i", clips("closed.mp4"), "-c", "copy", path)
    with pytest.raises(UnsupportedVideo, match="degrees"):
        probe(path)


def test_facts_of_an_ordinary_clip(clips: Clips) -> None:
    info = probe(clips("with_sound.mp4"))
    assert (info.codec, info.pixel_format, info.bit_depth, info.interlaced) == ("h264", "yuv420p", 8, False)
    assert (info.frames, info.frame_rate, info.seconds) == (96, 25, 3.84)
    assert info.audio == Audio("aac", 1, 44100)
    assert info.colour == info.output_colour == ColourTags()
    assert info.damage is None and info.stamped and not info.salvaged


def test_colour_tags(clips: Clips) -> None:
    tags = ColourTags("tv", "bt709", "bt709", "bt709")
    assert probe(clips("tagged.mp4")).colour == tags
    assert probe(clips("full_range.mp4")).colour.range == "pc"
    gif = probe(clips("picture.gif"))
    assert gif.rgb and gif.colour == ColourTags() and gif.output_colour == tags


def test_more_facts(clips: Clips) -> None:
    assert probe(clips("sar.mp4")).sample_aspect_ratio == Fraction(4, 3)
    assert probe(clips("interlaced.mp4")).interlaced
    assert probe(clips("hevc_10bit.mp4")).bit_depth == 10
    assert probe(clips("av1.mp4")).codec == "av1"
    assert probe(clips("edit_list.mp4")).hidden_frames == 14
    assert probe(clips("sound_first.mp4")).stream_index == 1
    assert probe(clips("closed.mp4")).audio is None


def test_times(clips: Clips) -> None:
    ntsc = probe(clips("ntsc.mkv"))
    assert ntsc.frame_rate == Fraction(30000, 1001) and not ntsc.timeline.vfr
    assert probe(clips("delayed.mp4")).timeline.start == Fraction(1, 2)
    assert probe(clips("bframes.ts")).timeline.start == 0  # Its clock begins at 1.4 s.
    variable = probe(clips("vfr.mkv"))
    assert variable.timeline.vfr and variable.frames == 96
    assert [variable.timeline.time(index) for index in range(4)] == [
        Fraction(n, 1000) for n in (0, 53, 106, 120)
    ]


def test_muxer_complaints_are_no_damage(clips: Clips, tmp_path: Path, ffmpeg) -> None:
    # Matroska stores no decoding times; ffmpeg makes up equal ones for this file.
    path = tmp_path / "equal.mkv"
    shifted = (
        "-vf",
        "setpts=(N+0.4*mod(N\\,3))/25/TB",
        "-fps_mode",
        "passthrough",
        "-bf",
        "2",
        "-c:v",
        "libx264",
    )
    ffmpeg("-i", clips("closed.mp4"), *shifted, path)
    assert probe(path).frames == 96
