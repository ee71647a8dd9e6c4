"""Pictures of 8 bits, SDR and BT.709, for deep and HDR frames: for networks, flow, previews and SDR copies.

HDR goes through `tone_map`; wide gamuts are converted and clipped; SDR of ordinary primaries is only rounded. Computed
strip by strip with tables of 16 bits. At 1920 x 1080 a frame takes 20 to 25 ms on one core, deep SDR 3 ms.
"""

from functools import cache
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.video.colour.gamut import is_wide, to_bt709
from pipelines.video.colour.tags import Hdr, hdr_kind, primaries_of
from pipelines.video.colour.tone_map import (
    PEAK_NITS,
    REFERENCE_WHITE_NITS,
    TARGET_NITS,
    tone_map,
    undo_tone_map,
)
from pipelines.video.colour.transfer import (
    BT2020_WEIGHTS,
    HLG_PEAK_NITS,
    HLG_SYSTEM_GAMMA,
    PQ_PEAK_NITS,
    Reals,
    hlg_to_scene,
    light_to_sdr,
    nits_to_pq,
    pq_to_nits,
    scene_to_hlg,
    sdr_to_light,
)
from pipelines.video.info import ColourTags
from pipelines.vision.types import Deep, Floats, Pixels

_TOP = 65535
_STRIP_ROWS = 48
"""Rows computed at a time, so that what lies between the steps stays in the processor's cache: twice as fast as whole
frames of 1080 rows."""
_WHITE_LEVEL = 251
"""Grey level of HDR's reference white in luma for measurements: clipped, as white is in SDR; the rest of the range is
for highlights."""


def proxy_rgb(rgb: Deep, tags: ColourTags) -> Pixels:
    """Convert R'G'B' (H, W, 3) uint16, full range, in the transfer and primaries of `tags`, to SDR (H, W, 3) uint8.

    The display is BT.709 with the gamma 2.4; see `tone_map` for what becomes of the light of HDR.
    """
    out = np.empty(rgb.shape, np.uint8)
    plain = hdr_kind(tags) is None and not is_wide(tags.primaries)
    table = _rounded_table() if plain else _signal_table(np.uint8)
    for strip, into in _strips(rgb, out):
        into[:] = cv2.LUT(strip if plain else _roots(strip, tags), table)
    return out


def tone_mapped(rgb: Deep, tags: ColourTags) -> Floats:
    """Convert as `proxy_rgb` does, to float32 levels from 0 to 255 that are not rounded, for `dither`."""
    out = np.empty(rgb.shape, np.float32)
    if hdr_kind(tags) is None and not is_wide(tags.primaries):
        return cast(Floats, cv2.multiply(rgb, np.array([255 / _TOP] * 4), dst=out, dtype=cv2.CV_32F))
    for strip, into in _strips(rgb, out):
        into[:] = cv2.LUT(_roots(strip, tags), _signal_table(np.float32))
    return out


def undo_proxy(levels: Floats | Pixels, tags: ColourTags) -> Floats:
    """Return signals (H, W, 3) float32 in the transfer and primaries of `tags` which `proxy_rgb` shows as `levels`.

    Levels are 0 to 255. Colours that the proxy clipped come back at the rim of BT.709, and light at most at its peak.
    """
    out = np.empty(levels.shape, np.float32)
    for row in range(0, len(levels), _STRIP_ROWS):
        out[row : row + _STRIP_ROWS] = _undone(levels[row : row + _STRIP_ROWS], tags)
    return out


def _undone(levels: Floats | Pixels, tags: ColourTags) -> Floats:
    signal = np.asarray(levels, np.float64) / 255
    kind = hdr_kind(tags)
    if kind is None and not is_wide(tags.primaries):
        return signal.astype(np.float32)
    light = np.maximum(sdr_to_light(signal) @ np.linalg.inv(to_bt709(primaries_of(tags))).T, 0)
    if kind is None:
        return light_to_sdr(light).astype(np.float32)
    largest = np.maximum(light.max(axis=-1, keepdims=True), 1e-9) * TARGET_NITS
    nits = light * (undo_tone_map(largest) / largest) * TARGET_NITS
    if kind == "pq":
        return nits_to_pq(nits).astype(np.float32)
    shown = nits / HLG_PEAK_NITS
    luminance = np.maximum(shown @ np.array(BT2020_WEIGHTS), 1e-9)[..., None]
    return scene_to_hlg(shown * luminance ** (1 / HLG_SYSTEM_GAMMA - 1)).astype(np.float32)


def proxy_luma(luma: Deep, tags: ColourTags) -> Pixels:
    """Convert luma (H, W) uint16, full range, to (H, W) uint8 as an SDR picture of the same scene has it.

    For measurements: the light of HDR is coded with the gamma of SDR, reference white (203 cd/m2) as white. Unlike in
    `proxy_rgb`, nothing below it is compressed, so that edges and differences are those of SDR.
    """
    return cast(Pixels, cv2.LUT(luma, _luma_table(hdr_kind(tags), 0.0, _TOP)))


def luma_of_codes(plane: NDArray[Any], bits: int, tags: ColourTags, *, full_range: bool = False) -> Pixels:
    """Convert a luma plane (H, W) of `bits`, in the low bits of uint16, to luma as `proxy_luma` does; in one step."""
    black, white = (0, 2**bits - 1) if full_range else (16 << (bits - 8), 235 << (bits - 8))
    deep = plane.astype(np.uint16, copy=False)
    return cast(Pixels, cv2.LUT(deep, _luma_table(hdr_kind(tags), float(black), float(white))))


def _strips(rgb: Deep, out: NDArray[Any]) -> list[tuple[Deep, NDArray[Any]]]:
    starts = range(0, len(rgb), _STRIP_ROWS)
    return [(rgb[row : row + _STRIP_ROWS], out[row : row + _STRIP_ROWS]) for row in starts]


def _roots(rgb: Deep, tags: ColourTags) -> Deep:
    """Return the square roots of the light of BT.709 as the SDR display shows it, (h, w, 3) uint16, 65535 = white.

    Square roots, since 16 bits of linear light are too coarse near black.
    """
    kind = hdr_kind(tags)
    light = cv2.LUT(rgb, _light_table(kind))
    if kind is not None:
        gain = np.ones(light.shape[:2], np.float32)
        if kind == "hlg":
            weights = np.array([BT2020_WEIGHTS], np.float32) * np.float32(TARGET_NITS / HLG_PEAK_NITS)
            gain = cv2.pow(np.maximum(cv2.transform(light, weights), np.float32(1e-9)), HLG_SYSTEM_GAMMA - 1)
        red, green, blue = cv2.split(light)
        largest = cv2.multiply(cv2.max(cv2.max(red, green), blue), gain)
        steps = cv2.multiply(cv2.sqrt(largest), _TOP * (TARGET_NITS / PQ_PEAK_NITS) ** 0.5, dtype=cv2.CV_16U)
        gain = cv2.multiply(gain, cv2.LUT(steps, _gain_table()))
        light = cv2.multiply(light, cv2.merge([gain] * 3))
    matrix = to_bt709(primaries_of(tags)).astype(np.float32)
    roots = cv2.sqrt(np.maximum(cv2.transform(light, matrix), 0))
    return cast(Deep, cv2.multiply(roots, _TOP, dtype=cv2.CV_16U))  # type: ignore[call-overload]


def _primaries(tags: ColourTags) -> str | None:
    """Return the tagged primaries; HDR without any has those of BT.2020."""
    return tags.primaries or ("bt2020" if hdr_kind(tags) else None)


@cache
def _light_table(kind: Hdr | None) -> Floats:
    """Light of a signal: of PQ, in units of the target; of HLG, of the scene, so that `gain` makes the same of it."""
    signal = np.linspace(0, 1, _TOP + 1)
    if kind == "pq":
        return (pq_to_nits(signal) / TARGET_NITS).astype(np.float32)
    if kind == "hlg":
        return (hlg_to_scene(signal) * (HLG_PEAK_NITS / TARGET_NITS)).astype(np.float32)
    return sdr_to_light(signal).astype(np.float32)


@cache
def _gain_table() -> Floats:
    """Factor on the light of a pixel by the square root of its largest channel, 65535 = PQ's peak."""
    nits = np.maximum(np.linspace(0, 1, _TOP + 1), 1e-4) ** 2 * PQ_PEAK_NITS
    return np.asarray(tone_map(nits) / nits, np.float32)


@cache
def _signal_table(kind: type[np.uint8] | type[np.float32]) -> NDArray[Any]:
    """SDR levels, 0 to 255, of the square root of light."""
    levels = light_to_sdr(np.linspace(0, 1, _TOP + 1) ** 2) * 255
    return np.rint(levels).astype(kind) if kind is np.uint8 else levels.astype(kind)


@cache
def _rounded_table() -> Pixels:
    return np.rint(np.arange(_TOP + 1) / 257).astype(np.uint8)


@cache
def _luma_table(kind: Hdr | None, black: float, white: float) -> Pixels:
    """Grey levels for measurements, of codes between `black` and `white`."""
    signal: Reals = np.clip((np.arange(_TOP + 1) - black) / (white - black), 0, 1)
    if kind is None:
        return np.rint(signal * 255).astype(np.uint8)
    nits = pq_to_nits(signal) if kind == "pq" else HLG_PEAK_NITS * hlg_to_scene(signal) ** HLG_SYSTEM_GAMMA
    white_light = nits / REFERENCE_WHITE_NITS
    highlights = np.log(np.maximum(white_light, 1)) / np.log(PEAK_NITS / REFERENCE_WHITE_NITS)
    levels = np.where(
        white_light <= 1,
        light_to_sdr(white_light) * _WHITE_LEVEL,
        _WHITE_LEVEL + (255 - _WHITE_LEVEL) * np.minimum(highlights, 1),
    )
    return np.rint(levels).astype(np.uint8)
