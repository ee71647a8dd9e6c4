"""Picture files that Pillow does not write: HEIC pictures, and ICC profiles of other colour spaces."""

import struct
import subprocess

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_SLICES = 32
"""HEVC unit types below this hold the picture."""
_SETS = (32, 33, 34)
_CODED = "-vf scale=out_range=pc:out_color_matrix=bt601 -pix_fmt yuv420p -color_range pc -c:v libx265 -crf 4 -f hevc"
_ALPHA_KIND = b"urn:mpeg:hevc:2015:auxid:1\0"
_X265 = (
    "log-level=none:keyint=1:info=0:range=full:colormatrix=smpte170m:colorprim=bt709:transfer=iec61966-2-1"
)

DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""Red, green and blue as XYZ, adapted to D50."""
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile(primaries: tuple[tuple[float, ...], ...], curve: tuple[float, ...]) -> bytes:
    """An ICC display profile of three primaries and one curve: a gamma, or the five numbers of sRGB's."""

    def fixed(*numbers: float) -> bytes:
        return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)

    kind = 3 if len(curve) == 5 else 0
    trc = b"para" + bytes(4) + struct.pack(">HH", kind, 0) + fixed(*curve)
    xyz = [b"XYZ " + bytes(4) + fixed(*colour) for colour in ((0.9642, 1, 0.8249), *primaries)]
    tags = dict(zip((b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ"), xyz, strict=True)) | dict.fromkeys(
        (b"rTRC", b"gTRC", b"bTRC"), trc
    )
    at, table, data = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(data), b"none", 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + table + data


def as_srgb(
    colours: Pixels, primaries: tuple[tuple[float, ...], ...], curve: tuple[float, ...]
) -> NDArray[np.float64]:
    """What `colours` under such a profile are in sRGB, by the formulas."""
    values = colours / 255
    if len(curve) == 5:
        gamma, a, b, c, cut = curve
        linear = np.where(values >= cut, (a * values + b) ** gamma, c * values)
    else:
        linear = values ** curve[0]
    light = np.clip(linear @ np.array(primaries) @ np.linalg.inv(np.array(SRGB)), 0, 1)
    return 255 * np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)


def heic(
    rgb: Pixels,
    *,
    tile: int | None = None,
    turns: int = 0,
    icc: bytes = b"",
    exif: bytes = b"",
    alpha: Pixels | None = None,
) -> bytes:
    """A HEIC file as phones write it: one picture or tiles of `tile` pixels, a thumbnail, turned by the viewer.

    `turns` are quarter turns counterclockwise; `exif` is a TIFF structure; `alpha` `(H, W)` is an auxiliary picture,
    in tiles as the picture is.
    """
    height, width = rgb.shape[:2]
    rows, columns = (-(-height // tile), -(-width // tile)) if tile else (1, 1)
    tiles = _tiles(rgb, tile)
    coded = [_hevc(one) for one in tiles]
    small = rgb[::4, ::4]
    thumbnail = _hevc(small)
    grid, first_tile, thumb_id, exif_id = 100, 1, 101, 102
    primary = grid if tile else first_tile
    ids = list(range(1, len(tiles) + 1))
    properties = [_hvcc(coded[0]), _size(tiles[0]), _size(rgb), _hvcc(thumbnail), _size(small)]
    used = {**{i: [0x81, 2] for i in ids}, thumb_id: [0x84, 5]}
    if tile:
        used[grid] = [3]
    if icc:
        properties.append(_box(b"colr", b"prof", icc))
        for item in (*ids, primary) if tile else ids:
            used[item].append(len(properties))
    if turns:
        properties.append(_box(b"irot", bytes([turns])))
        used[primary].append(0x80 | len(properties))
    kinds = {**dict.fromkeys(ids, b"hvc1"), thumb_id: b"hvc1"}
    blobs = {
        **{i: _pictures(units) for i, units in zip(ids, coded, strict=True)},
        thumb_id: _pictures(thumbnail),
    }
    refs = _ref(b"thmb", thumb_id, [primary])
    layout = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height) if tile else b""
    if tile:
        kinds[grid] = b"grid"
        refs += _ref(b"dimg", grid, ids)
    if exif:
        kinds[exif_id], blobs[exif_id] = b"Exif", bytes(4) + exif
        refs += _ref(b"cdsc", exif_id, [primary])
    hidden = {*ids, exif_id} if tile else {exif_id}
    layouts = {grid: layout} if tile else {}
    if alpha is not None:
        veils = [_hevc(one) for one in _tiles(alpha, tile)]
        veil_ids, veil = list(range(200, 200 + len(veils))), 300 if tile else 200
        properties += [_hvcc(veils[0]), _size(_tiles(alpha, tile)[0]), _size(alpha), _ALPHA]
        first = len(properties) - 3
        used |= {item: [0x80 | first, first + 1] for item in veil_ids}
        used.setdefault(veil, [first + 2]).append(0x80 | (first + 3))
        if turns:
            used[veil].append(used[primary][-1])
        kinds |= {**dict.fromkeys(veil_ids, b"hvc1"), **({veil: b"grid"} if tile else {})}
        blobs |= {item: _pictures(units) for item, units in zip(veil_ids, veils, strict=True)}
        refs += _ref(b"auxl", veil, [primary])
        hidden |= {veil, *veil_ids}
        if tile:
            refs += _ref(b"dimg", veil, veil_ids)
            layouts[veil] = layout
    infos = [
        _full(b"infe", struct.pack(">HH", i, 0), kind, b"\0", version=2, flags=int(i in hidden))
        for i, kind in kinds.items()
    ]

    def meta(base: int) -> bytes:
        places, at = b"", base
        for item, blob in blobs.items():
            places += struct.pack(">HHHHII", item, 0, 0, 1, at, len(blob))
            at += len(blob)
        for number, (item, each) in enumerate(layouts.items()):
            places += struct.pack(">HHHHII", item, 1, 0, 1, number * len(layout), len(each))
        assigned = b"".join(struct.pack(">HB", i, len(each)) + bytes(each) for i, each in used.items())
        return _full(
            b"meta",
            _full(b"hdlr", bytes(4) + b"pict" + bytes(13)),
            _full(b"pitm", struct.pack(">H", primary)),
            _full(b"iloc", b"\x44\x00", struct.pack(">H", len(blobs) + len(layouts)), places, version=1),
            _full(b"iinf", struct.pack(">H", len(infos)), *infos),
            _full(b"iref", refs),
            _box(
                b"iprp",
                _box(b"ipco", *properties),
                _full(b"ipma", struct.pack(">I", len(used)), assigned),
            ),
            _box(b"idat", *layouts.values()),
        )

    kind = _box(b"ftyp", b"heic", bytes(4), b"mif1", b"heic")
    return kind + meta(len(kind) + len(meta(0)) + 8) + _box(b"mdat", *blobs.values())


def _tiles(pixels: Pixels, tile: int | None) -> list[Pixels]:
    if not tile:
        return [pixels]
    height, width = pixels.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    margins = ((0, rows * tile - height), (0, columns * tile - width), (0, 0))
    padded = np.pad(pixels, margins[: pixels.ndim], mode="edge")
    return [
        padded[r * tile : (r + 1) * tile, c * tile : (c + 1) * tile]
        for r in range(rows)
        for c in range(columns)
    ]


def _hevc(pixels: Pixels) -> list[bytes]:
    height, width = pixels.shape[:2]
    source = f"-f rawvideo -pix_fmt {'gray' if pixels.ndim == 2 else 'rgb24'} -s {width}x{height} -i -"
    coded = _CODED.replace("yuv420p", "gray") if pixels.ndim == 2 else _CODED
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source.split(), *coded.split()]
    command[-2:-2] = ["-x265-params", _X265]
    data = np.ascontiguousarray(pixels).tobytes()
    stream = subprocess.run([*command, "-"], input=data, capture_output=True, check=True, timeout=300).stdout
    return stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 63


def _pictures(units: list[bytes]) -> bytes:
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in units if _kind(unit) < _SLICES)


def _hvcc(units: list[bytes]) -> bytes:
    sequence = next(unit for unit in units if _kind(unit) == _SETS[1]).replace(b"\0\0\3", b"\0\0")
    record = b"\x01" + sequence[3:15] + struct.pack(">HBBBBHBB", 0xF000, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0x0F, 3)
    for kind in _SETS:
        found = [unit for unit in units if _kind(unit) == kind]
        record += struct.pack(">BH", kind, len(found))
        record += b"".join(struct.pack(">H", len(unit)) + unit for unit in found)
    return _box(b"hvcC", record)


def _size(pixels: Pixels) -> bytes:
    return _full(b"ispe", struct.pack(">II", pixels.shape[1], pixels.shape[0]))


def _ref(kind: bytes, source: int, targets: list[int]) -> bytes:
    return _box(kind, struct.pack(f">HH{len(targets)}H", source, len(targets), *targets))


def _box(kind: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack(">I", 8 + len(data)) + kind + data


def _full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


_ALPHA = _full(b"auxC", _ALPHA_KIND)
