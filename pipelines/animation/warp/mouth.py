"""The inside of a mouth: where a driving frame shows it, and how it is put into another face."""

from typing import cast

import cv2
import numpy as np

from pipelines.animation.faces.aligned_view import CORE, Floats, ellipse, gray_of, grid, sampled
from pipelines.vision.types import Pixels

_ZONE = (0.26, 0.25)
"""Half axes of where a mouth may open, in box sides; it begins a little above the lips."""
_ABOVE = 0.12
_LIPS = (0.17, 0.07)
"""Half axes of where the lips are: what does not reach them is the edge of the jaw."""
_LIPS_AT = 0.262
_UNLIKE, _LEAST_UNLIKE, _OF_CONTRAST = 22.0, 7.0, 0.3
"""How unlike the reference, in levels, what is shown must be; less for faces without contrast."""
_SLACK_PX = 3
_MISMATCH_PX = 4.0
_LEAST_PART = 0.15
_OPEN_PX, _CLOSE_PX = 3, 7

_RING_PX, _SEAM_SHARE, _SEAM_LIMIT = 3, 0.8, 60.0
_COARSE, _FINEST, _SURE, _TRACE = 4, 0.7, 4.0, 1e-6


class Opening:
    """Finds what a frame shows about the mouth and the reference does not."""

    def __init__(self, reference: Pixels, slit: float) -> None:
        """`reference` is the core of a view, uint8 RGB; the lips meet `slit` below where they usually do."""
        across, down = _ZONE
        lips = _LIPS_AT + slit
        zone = ellipse((0.0, lips - _ABOVE + down, across, down), 0.01)[CORE] > 0.5
        rows, columns = np.nonzero(zone)
        self._crop = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        self._zone = zone[self._crop]
        self._lips = (ellipse((0.0, lips, *_LIPS), 0.01)[CORE] > 0.5)[self._crop]
        slack = np.ones((_SLACK_PX, _SLACK_PX), np.uint8)
        self._low, self._high = cv2.erode(reference, slack), cv2.dilate(reference, slack)
        self._gray = np.ascontiguousarray(gray_of(reference)[self._crop])
        self._unlike = float(np.clip(_OF_CONTRAST * self._gray.std(), _LEAST_UNLIKE, _UNLIKE))
        self._flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._flow_of.setFinestScale(1)

    def hull(self, shown: Pixels, rest: Floats) -> Floats:
        """The hull `(h, w)` float32 {0, 1} of what is like nothing there, or does not find its way back.

        `shown` `(h, w, 3)` is the core of the frame with the head put back, in the reference's light, `rest` its flow
        to the reference. A hull, since putting in only what is unlike leaves pieces of lip within a wide mouth.
        """
        here, there = np.ascontiguousarray(shown[self._crop]), rest[self._crop]
        places = there + grid(*shown.shape[:2])[self._crop]
        low, high = (
            cv2.remap(bound, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
            for bound in (self._low, self._high)
        )
        unlike = cv2.max(cv2.subtract(low, here), cv2.subtract(here, high)).max(axis=2)
        forward = cast(Floats, self._flow_of.calc(self._gray, gray_of(here), np.zeros_like(there)))
        back = there + sampled(forward, there)
        lost = cv2.magnitude(*cv2.split(back)) > _MISMATCH_PX
        torn = (((unlike > self._unlike) | lost) & self._zone).astype(np.uint8)
        torn = cv2.morphologyEx(torn, cv2.MORPH_OPEN, _disc(_OPEN_PX))
        torn = cv2.morphologyEx(torn, cv2.MORPH_CLOSE, _disc(_CLOSE_PX))
        drawn = np.zeros(shown.shape[:2], np.float32)
        drawn[self._crop] = self._hull_of(cast(Pixels, torn))
        return drawn

    def _hull_of(self, torn: Pixels) -> Pixels:
        """The hull of the parts of `torn` that reach the lips, small ones left out."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(torn)
        areas = stats[:, cv2.CC_STAT_AREA] * (np.bincount(labels[self._lips], minlength=count) > 0)
        areas[0] = 0
        hull = np.zeros_like(torn)
        if areas.any():
            y, x = np.nonzero(areas[labels] > _LEAST_PART * areas.max())
            corners = cv2.convexHull(np.stack((x, y), axis=1).astype(np.int32))
            cv2.fillConvexPoly(hull, corners, 1)
        return hull


def put_in(face: Pixels, mouth: Pixels, share: Floats, light: Floats) -> Pixels:
    """`face` `(h, w, 3)` uint8 with `mouth`, likewise, where `share` `(h, w)` is 1.

    `light` `(3,)` is what the mouth's colours are to be multiplied by. What then still differs around the
    mouth is drawn over it like a membrane, so that no seam is seen and stray skin vanishes.
    """
    under = face.astype(np.float32)
    over = mouth.astype(np.float32) * light
    core = (share > 0.5).astype(np.uint8)
    ring = (cv2.dilate(core, _disc(2 * _RING_PX + 1)) > 0) & (share <= 0.5)
    if ring.any():
        seam = np.clip(under - over, -_SEAM_LIMIT, _SEAM_LIMIT)
        over += _SEAM_SHARE * _continued(seam, ring.astype(np.float32))
    mixed = under + (over - under) * share[..., None]
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _continued(values: Floats, known: Floats) -> Floats:
    """`values` `(h, w, 3)` where `known`, smoothly continued elsewhere: from their mean to ever finer ones."""
    height, width = known.shape
    size = -(-width // _COARSE), -(-height // _COARSE)
    weighted = cv2.resize(np.dstack((values * known[..., None], known)), size, interpolation=cv2.INTER_AREA)
    total = weighted.sum(axis=(0, 1))
    drawn = np.broadcast_to(total[:3] / total[3], (*weighted.shape[:2], 3))
    spread = max(size) / 4
    while spread >= _FINEST:
        near = cv2.GaussianBlur(weighted, (0, 0), spread)
        share = np.minimum(1, near[..., 3:] * _SURE)
        drawn = drawn + (near[..., :3] / (near[..., 3:] + _TRACE) - drawn) * share
        spread /= 2
    return cast(Floats, cv2.resize(drawn, (width, height), interpolation=cv2.INTER_LINEAR))


def _disc(side_px: int) -> Pixels:
    return cast(Pixels, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side_px, side_px)))
