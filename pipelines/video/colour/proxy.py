"""Pictures of 8 bits, SDR and BT.709, for deep and HDR frames: for networks, flow, previews and SDR copies.

HDR goes through `tone_map`; wide gamuts are converted and clipped; SDR of ordinary primaries is only rounded. Computed
strip by strip with tables of 16 bits. At 1920 x 1080 a frame takes 20 to 25 ms on one core, deep SDR 3 ms.
"""

from functools import cache
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.video.colour.dither import dithered_levels
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
_KNEE_LEVEL, _WHITE_LEVEL = 240, 251
"""Grey levels in luma for measurements: up to the knee those of SDR, since its steps count; and that of HDR's reference
white: clipped, as white is in SDR. The rest of the range is for highlights."""


def proxy_rgb(rgb: Deep, tags: ColourTags) -> Pixels:
    """Convert R'G'B' (H, W, 3) uint16, full range, in the transfer and primaries of `tags`, to SDR (H, W, 3) uint8.

    The display is BT.709 with the gamma 2.4; see `tone_map` for what becomes of the light of HDR.
    """
    out = np.empty(rgb.shape, np.uint8)
    table = _rounded_codes() if is_plain(tags) else _rounded_roots()
    for _, strip, into in _strips(rgb, out):
        into[:] = cv2.LUT(_signals(strip, tags), table)
    return out


def dithered(rgb: Deep, tags: ColourTags, index: int, *, top: int = 0) -> Pixels:
    """Convert as `proxy_rgb` does, but round with a pattern, so that gradients show no bands: see `dither`.

    `rgb` is the part from row `top` on of frame `index`.
    """
    out = np.empty(rgb.shape, np.uint8)
    table = _fine_codes() if is_plain(tags) else _fine_roots()
    for row, strip, into in _strips(rgb, out):
        into[:] = dithered_levels(cast(Deep, cv2.LUT(_signals(strip, tags), table)), index, top=top + row)
    return out


def is_plain(tags: ColourTags) -> bool:
    """Tell whether signals are shown as they are: SDR of ordinary primaries."""
    return hdr_kind(tags) is None and not is_wide(tags.primaries)


def _signals(rgb: Deep, tags: ColourTags) -> Deep:
    """Return what the tables of levels are read by: the signals, or the square roots of the light."""
    return rgb if is_plain(tags) else _roots(rgb, tags)


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
    if is_plain(tags):
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
    """Convert luma (H, W) uint16, full range, to the codes (H, W) uint8 that an SDR picture of the same scene has.

    For measurements: the light of HDR is coded with the gamma of SDR, reference white (203 cd/m2) as white. Unlike in
    `proxy_rgb`, nothing below it is compressed, so that edges and differences are those of SDR. Codes are those of
    limited range, since their steps count: enlarged to 255 levels, they are as uneven as those of SDR, which in soft
    pictures is most of the curvature.
    """
    return cast(Pixels, cv2.LUT(luma, _luma_table(hdr_kind(tags), 0.0, _TOP)))


def luma_of_codes(plane: NDArray[Any], bits: int, tags: ColourTags, *, full_range: bool = False) -> Pixels:
    """Convert a luma plane (H, W) of `bits`, in the low bits of uint16, to codes as `proxy_luma` does; in one step."""
    black, white = (0, 2**bits - 1) if full_range else (16 << (bits - 8), 235 << (bits - 8))
    deep = plane.astype(np.uint16, copy=False)
    return cast(Pixels, cv2.LUT(deep, _luma_table(hdr_kind(tags), float(black), float(white))))


def _strips(rgb: Deep, out: Pixels) -> list[tuple[int, Deep, Pixels]]:
    starts = range(0, len(rgb), _STRIP_ROWS)
    return [(row, rgb[row : row + _STRIP_ROWS], out[row : row + _STRIP_ROWS]) for row in starts]


def _roots(rgb: Deep, tags: ColourTags) -> Deep:
    """Return the square roots of the light of BT.709 as the SDR display shows it, (h, w, 3) uint16, 65535 = white.

    Square roots, since 16 bits of linear light are too coarse near black.
    """
    kind = hdr_kind(tags)
    light = cast(Floats, cv2.LUT(rgb, _light_table(kind)))
    if kind is not None:
        light = cast(Floats, cv2.multiply(light, cv2.merge([_gains(rgb, light, kind)] * 3)))
    matrix = to_bt709(primaries_of(tags)).astype(np.float32)
    roots = cv2.sqrt(np.maximum(cv2.transform(light, matrix), 0))
    return cast(Deep, cv2.multiply(roots, _TOP, dtype=cv2.CV_16U))  # type: ignore[call-overload]


def _gains(rgb: Deep, light: Floats, kind: Hdr) -> Floats:
    """Return the factor (h, w) on the `light` of each pixel: the tone map, and for HLG the gain of the display."""
    red, green, blue = cv2.split(rgb)
    largest = cv2.max(cv2.max(red, green), blue)
    if kind == "pq":
        return cast(Floats, cv2.LUT(largest, _pq_gains()))
    weights = np.array([BT2020_WEIGHTS], np.float32) * np.float32(TARGET_NITS / HLG_PEAK_NITS)
    gain = cv2.pow(np.maximum(cv2.transform(light, weights), np.float32(1e-9)), HLG_SYSTEM_GAMMA - 1)
    shown = cv2.multiply(cv2.LUT(largest, _light_table(kind)), gain)
    steps = cv2.multiply(cv2.sqrt(shown), _TOP * (TARGET_NITS / PQ_PEAK_NITS) ** 0.5, dtype=cv2.CV_16U)
    return cast(Floats, cv2.multiply(gain, cv2.LUT(steps, _root_gains())))


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
def _pq_gains() -> Floats:
    """Factor of the tone map by the PQ signal of the largest channel."""
    nits = np.maximum(pq_to_nits(np.linspace(0, 1, _TOP + 1)), 1e-4)
    return np.asarray(tone_map(nits) / nits, np.float32)


@cache
def _root_gains() -> Floats:
    """Factor of the tone map by the square root of the light of the largest channel, 65535 = PQ's peak."""
    nits = np.maximum(np.linspace(0, 1, _TOP + 1) ** 2 * PQ_PEAK_NITS, 1e-4)
    return np.asarray(tone_map(nits) / nits, np.float32)


@cache
def _rounded_roots() -> Pixels:
    """SDR levels of the square root of light."""
    return np.rint(_levels_of_roots()).astype(np.uint8)


@cache
def _fine_roots() -> Deep:
    """The same in 1/256, for `dithered_levels`."""
    levels: Deep = np.rint(_levels_of_roots() * 256).astype(np.uint16)
    return levels


def _levels_of_roots() -> Reals:
    return light_to_sdr(np.linspace(0, 1, _TOP + 1) ** 2) * 255


@cache
def _rounded_codes() -> Pixels:
    """SDR levels of a signal that is SDR."""
    return np.rint(np.arange(_TOP + 1) / 257).astype(np.uint8)


@cache
def _fine_codes() -> Deep:
    """The same in 1/256, for `dithered_levels`."""
    levels: Deep = np.rint(np.arange(_TOP + 1) * (256 / 257)).astype(np.uint16)
    return levels


@cache
def _luma_table(kind: Hdr | None, black: float, white: float) -> Pixels:
    """Codes for measurements, of limited range, of codes between `black` and `white`."""
    signal: Reals = np.clip((np.arange(_TOP + 1) - black) / (white - black), 0, 1)
    if kind is not None:
        signal = _measured(signal, kind)
    return np.rint(16 + 219 * signal).astype(np.uint8)


def _measured(signal: Reals, kind: Hdr) -> Reals:
    """Return the signal of SDR for the light of HDR, with a little room for highlights."""
    nits = pq_to_nits(signal) if kind == "pq" else HLG_PEAK_NITS * hlg_to_scene(signal) ** HLG_SYSTEM_GAMMA
    white_light = nits / REFERENCE_WHITE_NITS
    highlights = np.log(np.maximum(white_light, 1)) / np.log(PEAK_NITS / REFERENCE_WHITE_NITS)
    levels = np.interp(
        255 * light_to_sdr(np.minimum(white_light, 1)) + highlights,
        [0, _KNEE_LEVEL, 255, 256],
        [0, _KNEE_LEVEL, _WHITE_LEVEL, 255],
    )
    return np.asarray(levels / 255, np.float64)
