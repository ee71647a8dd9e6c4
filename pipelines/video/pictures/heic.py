"""HEIC pictures: what their boxes say, and their pixels, which the bundled ffmpeg decodes.

It assembles the tiles of a phone's picture. It leaves out transparency and colour profiles: the first is a picture of
its own, which is decoded beside the colours, and the second stands in a box.
"""

import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from pipelines.errors import UnsupportedVideo
from pipelines.video.files import ffmpeg
from pipelines.vision.types import Size

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis")
_HEIF_BRANDS = (*_HEIC_BRANDS, b"mif1")
_ALPHA_KINDS = (b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")
"""Kinds of auxiliary pictures that are transparency."""
_SECONDS = 60.0
"""Time limit for one picture; 48 megapixels take a few seconds."""
_MOST_META_BYTES = 2**24
"""The most that is read of the boxes that describe a picture; phones write a few kilobytes."""
_PNG_OUTPUT = ("-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-compression_level", "1", "-")
_PNG_HEAD_BYTES = 24
"""Signature and the start of the header, up to width and height."""


def is_heic(path: Path) -> bool:
    """Whether the file at `path` is a HEIC picture (HEVC in HEIF). Raises OSError."""
    with path.open("rb") as file:
        head = file.read(64)
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
        return False
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    return not brands.isdisjoint(_HEIC_BRANDS)


def size_of_heic(path: Path) -> Size:
    """Return width and height of the picture at `path`, upright; decodes it. Raises UnsupportedVideo."""
    width, height = struct.unpack(">II", _as_png(path, (), most_bytes=_PNG_HEAD_BYTES)[16:24])
    return width, height


def read_heic(path: Path, at_least: Size | None = None) -> Image.Image:
    """Decode the picture at `path`, upright, as RGB or RGBA, with its ICC profile; reduced to no less than `at_least`.

    Raises UnsupportedVideo where the picture or its transparency cannot be decoded, and what is in `UNREADABLE`.
    """
    described = _describe(path)
    scaling = _scaling(size_of_heic(path), at_least) if at_least else ()
    image = _opened(_as_png(path, scaling))
    if described.alpha:
        try:
            opacity = _opened(_as_png(path, ("-map", described.alpha, *scaling))).convert("L")
        except (UnsupportedVideo, OSError) as error:
            raise _no_alpha(path) from error
        if opacity.size != image.size:
            raise _no_alpha(path)
        image.putalpha(opacity)
    if described.profile:
        image.info["icc_profile"] = described.profile
    return image


def has_alpha(path: Path) -> bool:
    """Whether the boxes of the picture at `path` speak of transparency. Raises what is in `UNREADABLE`."""
    return bool(_describe(path).alpha)


def _opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png), formats=("PNG",))
    image.load()
    return image


def _scaling(size: Size, at_least: Size) -> tuple[str, ...]:
    """Return ffmpeg's options that reduce a picture, upright of `size`, to no less than `at_least`."""
    share = max(at_least[0] / size[0], at_least[1] / size[1])
    if share >= 1:
        return ()
    width, height = (max(1, math.ceil(side * share)) for side in size)
    # No filter: what is assembled from tiles takes none.
    return "-s", f"{width}x{height}", "-sws_flags", "area"


def _as_png(path: Path, options: tuple[str, ...], most_bytes: int = -1) -> bytes:
    """Decode the picture at `path` to a PNG, upright; return `most_bytes` of it. Raises UnsupportedVideo."""
    child = ffmpeg.Child([*ffmpeg.source(path), *options, *_PNG_OUTPUT], feeds=False)
    try:
        picture = child.pipe.read(most_bytes)
        if len(picture) == most_bytes:
            return picture
        status, errors = child.finish(_SECONDS)
    finally:
        child.kill()
    if status or not picture:
        why = errors[0] if errors else f"ffmpeg ended with {status}"
        raise UnsupportedVideo(
            f"{path} is a HEIC picture that cannot be decoded ({why}).",
            "Convert it to JPEG or PNG first.",
            "picture.heic",
            name=path.name,
        )
    return picture


def _no_alpha(path: Path) -> UnsupportedVideo:
    return UnsupportedVideo(
        f"{path} is a HEIC picture whose transparency cannot be decoded.",
        "Convert it to PNG first.",
        "picture.heic",
        name=path.name,
    )


@dataclass
class _Description:
    """What the boxes of a picture say: ffmpeg's name of its transparency, if there is one, and its ICC profile."""

    alpha: str = ""
    profile: bytes = b""


@dataclass
class _Items:
    """The items of a file by their numbers: their kinds in order, their properties, and references between them."""

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    properties: dict[int, list[int]] = field(default_factory=dict)
    auxiliary: list[tuple[int, list[int]]] = field(default_factory=list)


def _describe(path: Path) -> _Description:
    data = _read_meta(path)
    items, properties = _Items(), list[tuple[bytes, bytes]]()
    for kind, start, end in _boxes(data, 4, len(data)):
        box = data[start:end]
        if kind == b"pitm":
            items.primary = int.from_bytes(box[4 : 6 if box[0] == 0 else 8], "big")
        elif kind == b"iinf":
            items.kinds = _kinds(box)
        elif kind == b"iref":
            items.auxiliary = list(_references(box, b"auxl"))
        elif kind == b"iprp":
            for inner, first, last in _boxes(box, 0, len(box)):
                if inner == b"ipco":
                    properties = [(name, box[a:b]) for name, a, b in _boxes(box, first, last)]
                elif inner == b"ipma":
                    items.properties = _associations(box[first:last])
    found = _Description()
    colours = [
        content for name, content in properties if name == b"colr" and content[:4] in (b"prof", b"rICC")
    ]
    found.profile = colours[0][4:] if colours else b""
    for item, targets in items.auxiliary:
        used = [properties[index - 1] for index in items.properties.get(item, ()) if index]
        kinds = [content[4:].split(b"\0")[0] for name, content in used if name == b"auxC"]
        if items.primary in targets and any(kind in _ALPHA_KINDS for kind in kinds):
            found.alpha = _stream_of(item, items.kinds)
    return found


def _stream_of(item: int, kinds: dict[int, bytes]) -> str:
    """Return how ffmpeg names an item: by its number, or as one of the pictures that are assembled from tiles."""
    if kinds.get(item) != b"grid":
        return f"0:i:{item}"
    grids = [number for number, kind in kinds.items() if kind == b"grid"]
    return f"[0:g:{grids.index(item)}]"


def _read_meta(path: Path) -> bytes:
    """Return the box that describes a file's pictures, without its head; nothing where there is none."""
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, header = int.from_bytes(head[:4], "big"), 8
            if size == 1:
                size, header = int.from_bytes(file.read(8), "big"), 16
            if head[4:] == b"meta":
                return file.read(min(size - header, _MOST_META_BYTES) if size else _MOST_META_BYTES)
            if size < header:
                break
            file.seek(size - header, io.SEEK_CUR)
    return b""


def _kinds(box: bytes) -> dict[int, bytes]:
    found = {}
    for kind, start, end in _boxes(box, 6 if box[0] == 0 else 8, len(box)):
        entry = box[start:end]
        wide = 4 if entry[:1] == b"\3" else 2
        if kind == b"infe" and entry[:1] in (b"\2", b"\3"):
            found[int.from_bytes(entry[4 : 4 + wide], "big")] = entry[6 + wide : 10 + wide]
    return found


def _references(box: bytes, wanted: bytes) -> Iterator[tuple[int, list[int]]]:
    """Yield each item that refers to others in the `wanted` way, and those."""
    wide = 2 if box[0] == 0 else 4
    for kind, start, end in _boxes(box, 4, len(box)):
        if kind == wanted:
            count = int.from_bytes(box[start + wide : start + wide + 2], "big")
            numbers = box[start + wide + 2 : end][: wide * count]
            targets = [int.from_bytes(numbers[at : at + wide], "big") for at in range(0, len(numbers), wide)]
            yield int.from_bytes(box[start : start + wide], "big"), targets


def _associations(box: bytes) -> dict[int, list[int]]:
    """Return the numbers of each item's properties, counted from 1."""
    item_bytes, index_bytes = (2 if box[0] == 0 else 4), (2 if box[3] & 1 else 1)
    found, at = dict[int, list[int]](), 8
    for _ in range(int.from_bytes(box[4:8], "big")):
        if at >= len(box):
            break
        item, count = int.from_bytes(box[at : at + item_bytes], "big"), box[at + item_bytes]
        at += item_bytes + 1
        essential = 1 << (8 * index_bytes - 1)
        found[item] = [
            int.from_bytes(box[at + k * index_bytes : at + (k + 1) * index_bytes], "big") & ~essential
            for k in range(count)
        ]
        at += count * index_bytes
    return found


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the content of each ISO box between `at` and `end`."""
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > end:
            return
        yield data[at + 4 : at + 8], at + 8, at + size
        at += size
