"""Files that are refused: each is told what is wrong with it and what to do."""

import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import av.error
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from memory.oom import is_out_of_memory
from pipelines.errors import DamagedVideo, LongtakeError, NotAVideo, UnsupportedVideo
from pipelines.masks.sequence import open_masks
from pipelines.spans import Span
from pipelines.video.files.encryption import has_encrypted_packets
from pipelines.video.join import join_segments
from pipelines.video.pictures.images import probe_picture
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

from ..mask_clips import disc, encode, white


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    ground = rng.integers(0, 256, (48, 64, 3), np.uint8)
    return encode(
        tmp_path / "clip.mp4", [np.roll(ground, i, axis=1) for i in range(8)], "-pix_fmt", "yuv420p"
    )


def ffmpeg(*arguments: str | bytes | Path) -> None:
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments], check=True, timeout=300
    )


# -- videos ----------------------------------------------------------------------------------------------------


def test_an_encrypted_film_is_called_encrypted(clip: Path) -> None:
    locked = clip.with_name("locked.mp4")
    key = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "0f" * 16, "-encryption_kid", "a1" * 16)
    ffmpeg("-i", clip, "-c", "copy", *key, locked)
    for salvage in (False, True):
        with pytest.raises(UnsupportedVideo, match="is encrypted") as refused:
            probe(locked, salvage=salvage)
        assert "copy protection" in refused.value.hint
    assert probe(clip).frames == 8


def test_a_film_of_another_protection_is_called_encrypted(clip: Path) -> None:
    locked = clip.with_name("locked.m4v")
    locked.write_bytes(clip.read_bytes().replace(b"avc1", b"drmi"))
    with pytest.raises(UnsupportedVideo, match="is encrypted"):
        probe(locked)


def test_encryption_that_begins_later_is_found(clip: Path) -> None:
    locked = clip.with_name("locked.mp4")
    key = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "0f" * 16, "-encryption_kid", "a1" * 16)
    ffmpeg("-i", clip, "-c", "copy", *key, locked)
    assert has_encrypted_packets(locked)
    assert not has_encrypted_packets(clip)


def test_a_scrambled_broadcast_is_called_encrypted(clip: Path) -> None:
    stream = clip.with_name("clip.ts")
    ffmpeg("-i", clip, "-c", "copy", stream)
    assert probe(stream).frames == 8
    data, rng = bytearray(stream.read_bytes()), np.random.default_rng(0)
    for at in range(0, len(data), 188):
        if (data[at + 1] & 0x1F) << 8 | data[at + 2] == 0x100:
            payload = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
            data[at + 3] |= 0x80
            data[payload : at + 188] = rng.bytes(at + 188 - payload)
    stream.write_bytes(data)
    with pytest.raises(UnsupportedVideo, match="is encrypted"):
        probe(stream)


def test_an_encrypted_webm_is_called_encrypted(clip: Path) -> None:
    """As players' content encryption leaves it: the packets are noise, and the track says that it is encrypted."""
    webm = clip.with_name("clip.webm")
    ffmpeg("-i", clip, "-c:v", "libvpx", webm)
    data = webm.read_bytes()
    encodings = bytes.fromhex("6d808e 62408b 50338101 503584 47e18105")
    tracks = data.rindex(bytes.fromhex("1654ae6b"))  # The first is in the index.
    entry = data.index(b"\xae", tracks + 5)
    body = entry + 9
    assert data[entry + 1] == 1, "the size of the entry has eight bytes"
    grown = int.from_bytes(data[entry + 2 : body]) + len(encodings)
    head = data[: tracks + 4] + bytes([data[tracks + 4] + len(encodings)]) + data[tracks + 5 : entry + 2]
    webm.write_bytes(head + grown.to_bytes(7) + encodings + data[body:])
    with pytest.raises(UnsupportedVideo, match="is encrypted"):
        probe(webm)


def test_a_title_in_another_encoding_is_no_damage(clip: Path) -> None:
    titled = clip.with_name("titled.mp4")
    ffmpeg("-i", clip, "-c", "copy", "-metadata", b"title=" + "标题".encode("gbk"), titled)
    info = probe(titled)
    assert info.frames == 8 and info.damage is None
    assert len([*read_frames(info)]) == 8
    out = clip.with_name("out.mp4")
    assert join_segments([clip], info, Span(0, 8), out).frames == 8
    assert probe(out).frames == 8


def ask_for_too_much(*_: object, **__: object) -> None:
    """What PyAV raises where a damaged size makes FFmpeg ask for more memory than there is."""
    raise av.error.MemoryError(12, "Cannot allocate memory")


def decode_too_much(packets: object, *_: object) -> Iterator[object]:
    ask_for_too_much()
    yield packets


@pytest.mark.parametrize(
    ("where", "fails"),
    [
        ("files.demuxing.av.open", ask_for_too_much),
        ("decoders.counting.by_packets", ask_for_too_much),
        ("decoders.decoding._frames", decode_too_much),
    ],
)
def test_a_damaged_size_is_damage_and_no_lack_of_memory(
    clip: Path, monkeypatch: pytest.MonkeyPatch, where: str, fails: Callable[..., object]
) -> None:
    monkeypatch.setattr(f"pipelines.video.{where}", fails)
    with pytest.raises((DamagedVideo, NotAVideo), match="damaged") as refused:
        probe(clip)
    assert refused.value.exit_code == 2
    assert "memory" not in str(refused.value).lower()


def test_memory_is_not_sought_where_a_frame_is_damaged(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = probe(clip)
    monkeypatch.setattr("pipelines.video.decoders.decoding._frames", decode_too_much)
    with pytest.raises(DamagedVideo) as refused:
        [*read_frames(info, decoder="pyav")]
    assert not is_out_of_memory(refused.value)


# -- pictures --------------------------------------------------------------------------------------------------


def png(path: Path, width: int, height: int, *chunks: tuple[bytes, bytes]) -> Path:
    """A PNG by its chunks, with one black pixel."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(2))), (b"IEND", b"")):
        body += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(body)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    white(disc(0)).save(folder / "1.png")
    white(disc(1)).save(folder / "3.png")
    return folder


def test_a_huge_picture_is_called_huge(pictures: Path) -> None:
    huge = png(pictures / "2.png", 20_000, 20_000)
    for ask in (lambda: probe(pictures), lambda: probe(pictures, salvage=True), lambda: probe_picture(huge)):
        with pytest.raises(UnsupportedVideo, match=r"2\.png has more than 179 million pixels") as refused:
            ask()
        assert "Scale it down" in refused.value.hint


def test_a_picture_with_a_text_bomb_is_named_or_left_out(pictures: Path) -> None:
    text = b"Comment\0\0" + zlib.compress(bytes(2_000_000))
    bomb = png(pictures / "2.png", 1, 1, (b"zTXt", text))
    with pytest.raises(ValueError, match="too large"), Image.open(bomb):
        pass
    with pytest.raises(DamagedVideo, match=r"2\.png is damaged"):
        probe(pictures)
    assert probe(pictures, salvage=True).missing_frames == 1
    with pytest.raises(NotAVideo, match=r"2\.png cannot be read"):
        probe_picture(bomb)


@pytest.mark.parametrize(
    "error", [ValueError, TypeError, SyntaxError, KeyError, OverflowError, struct.error, zlib.error, EOFError]
)
@pytest.mark.parametrize("when", ["open", "load"])
def test_whatever_a_picture_causes_it_is_named(
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    when: str,
    video: Callable[..., object],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("deep inside a library")

    info = probe(pictures)
    if when == "open":
        monkeypatch.setattr(Image, "open", fail)
        asked: list[Callable[[], object]] = [
            lambda: probe(pictures),
            lambda: probe_picture(pictures / "1.png"),
        ]
    else:
        monkeypatch.setattr(Image.Image, "convert", fail)
        asked = [lambda: [*read_frames(info)]]
    for ask in asked:
        with pytest.raises(LongtakeError, match=r"1\.png") as refused:
            ask()
        assert refused.value.exit_code == 2


def test_a_mask_with_a_text_bomb_is_refused(pictures: Path, video: Callable[..., object]) -> None:
    png(pictures / "2.png", 1, 1, (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000))))
    with pytest.raises(DamagedVideo, match=r"2\.png is damaged"):
        [*open_masks(pictures, video(3)).read(0, 3)]
