"""Inside of a mouth: where a driving frame shows it, and how it is inserted into another face."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.aligned_view import (
    CORE,
    Floats,
    ellipse,
    pixel_grid,
    sample_at,
    to_gray,
)
from pipelines.animation.warp.restraint import share_by_seam
from pipelines.vision.types import Pixels

_ZONE = (0.26, 0.25)
"""Half axes of the zone in which a mouth may open, in box sides."""
_ZONE_RISE = 0.12
"""How far the zone begins above the lips, in box sides."""
_LIPS = (0.17, 0.07)
"""Half axes of the lips, in box sides: a part that does not reach them is the edge of the jaw."""
_LIPS_DOWN = 0.262
"""Where the lips of the template meet, in face coordinates."""
_MAX_DIFFERENCE, _MIN_DIFFERENCE, _CONTRAST_SHARE = 22.0, 7.0, 0.3
"""Grey levels from the reference that make a pixel unmatched: a share of the contrast around the mouth, within
limits."""
_TOLERANCE_PX = 3
"""Neighbourhood in the reference, in pixels, that may explain a pixel: flow is not exact."""
_MISMATCH_PX = 4.0
"""Forward and backward flow that differ by more are inconsistent, as where something is occluded."""
_CHEEKS = (0.0, 0.1, 0.28, 0.1)
"""Ellipse of the reference from which the colours of skin are learned, in face coordinates: between eyes and lips."""
_SKIN_DISTANCE, _SKIN_NOISE, _SKIN_ROUNDS = 3.0, 4.0, 3
"""Mahalanobis distance up to which a pixel has the colour of skin; noise of each colour in grey levels, without which
even skin would exclude its own shades; and rounds of learning without what is farther, such as nostrils."""
_INSERTED = (0.21, 0.2)
"""Half axes of the zone from which pixels are inserted, in box sides: without the jaw, which uncovers neck and
background where it drops."""
_MIN_PART_SHARE = 0.15
"""Smallest part of an opening, as a share of the largest."""
_MOVED, _OPENED = 0.68, 0.55
"""Correlation of an opening with some place of the reference nearby, from which on lips only moved, and up to which
the inside of a mouth shows. Measured on two filmed and two drawn driving videos: teeth and open mouths 0.28 to 0.5,
lips that are drawn to one side, pressed or pursed 0.59 to 0.9."""
_MOVED_BY_PX = 14
"""How far lips may have moved within the aligned face, in pixels of the view: a ninth of a box side."""
_LEAST_AREA_PX = 40
"""Smaller openings show nothing that can be told from lips."""
_OPEN_PX, _CLOSE_PX, _CLOSE_INSERTED_PX = 3, 7, 5
"""Sides of the discs that remove specks and close gaps, in pixels of the view; the last for what is inserted."""

_RING_PX, _SEAM_SHARE, _SEAM_LIMIT = 3, 0.8, 60.0
"""Width of the ring around a mouth whose difference to the face is the seam; the share of the seam that is corrected,
and its limit in grey levels."""
_FILL_SHRINK, _FINEST_SPREAD, _KNOWN_GAIN, _EPSILON = 4, 0.7, 4.0, 1e-6
"""Fill of the seam: its shrinking, its finest blur, and the gain from known weight to certainty."""


class MouthOpening:
    """Detector of what a frame shows around the mouth and the reference does not."""

    def __init__(self, reference: Pixels, lip_offset: float) -> None:
        """Prepare by the core of the reference's view, uint8 RGB; its lips meet `lip_offset` below the template's."""
        lips = _LIPS_DOWN + lip_offset
        zone, inserted = (
            ellipse((0.0, lips - _ZONE_RISE + down, across, down), 0.01)[CORE] > 0.5
            for across, down in (_ZONE, _INSERTED)
        )
        rows, columns = np.nonzero(zone)
        self._crop = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        self._zone, self._inserted_zone = zone[self._crop], inserted[self._crop]
        self._skin = _Skin(reference[ellipse(_CHEEKS, 0.01)[CORE] > 0.5])
        self._lips = (ellipse((0.0, lips, *_LIPS), 0.01)[CORE] > 0.5)[self._crop]
        slack = np.ones((_TOLERANCE_PX, _TOLERANCE_PX), np.uint8)
        self._low, self._high = cv2.erode(reference, slack), cv2.dilate(reference, slack)
        self._reference_gray = to_gray(reference).astype(np.float32)
        self._gray = np.ascontiguousarray(to_gray(reference)[self._crop])
        self._threshold = float(np.clip(_CONTRAST_SHARE * self._gray.std(), _MIN_DIFFERENCE, _MAX_DIFFERENCE))
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._flow.setFinestScale(1)

    def hulls(self, aligned: Pixels, residual: Floats) -> tuple[Floats, Floats]:
        """Return the hulls `(h, w)` float32 {0, 1} of what has no match, and of the part of it that is not skin.

        `aligned` `(h, w, 3)` is the core of the frame with the head aligned, in the reference's light; `residual` is
        its flow to the reference. What has no match is what the reference does not show, or whose flow is inconsistent.
        The second hull is what can be inserted into another face, where skin of this one would leave a stain. Inserting
        only the pixels themselves would leave pieces of lip within a wide mouth, hence the hulls.
        """
        crop, flow = np.ascontiguousarray(aligned[self._crop]), residual[self._crop]
        positions = flow + pixel_grid(*aligned.shape[:2])[self._crop]
        low, high = (
            cv2.remap(bound, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
            for bound in (self._low, self._high)
        )
        difference = cv2.max(cv2.subtract(low, crop), cv2.subtract(crop, high)).max(axis=2)
        forward = cast(Floats, self._flow.calc(self._gray, to_gray(crop), np.zeros_like(flow)))
        back = flow + sample_at(forward, flow)
        inconsistent = cv2.magnitude(*cv2.split(back)) > _MISMATCH_PX
        unmatched = (((difference > self._threshold) | inconsistent) & self._zone).astype(np.uint8)
        foreign = unmatched & self._inserted_zone & ~self._skin.shows(crop)
        return (
            self._hull(unmatched, _CLOSE_PX, aligned.shape[:2]),
            self._hull(foreign, _CLOSE_INSERTED_PX, aligned.shape[:2]),
        )

    def openness(self, aligned: Pixels, hull: Floats) -> float:
        """Return 1 where the hull shows the inside of a mouth, 0 where it shows lips or skin that only moved.

        Lips that move farther than flow follows, as when a mouth is drawn to one side, have no match either; but the
        reference shows the same some pixels away.
        """
        rows, columns = np.nonzero(hull)
        if len(rows) < _LEAST_AREA_PX:
            return 0.0
        rim = _OPEN_PX
        inner, outer = (
            tuple(
                slice(max(0, int(at.min()) - rim - more), int(at.max()) + 1 + rim + more)
                for at in (rows, columns)
            )
            for more in (0, _MOVED_BY_PX)
        )
        patch = to_gray(np.ascontiguousarray(aligned[inner])).astype(np.float32)
        mask = cv2.dilate(hull[inner], _disc(rim))
        scores = cv2.matchTemplate(self._reference_gray[outer], patch, cv2.TM_CCOEFF_NORMED, mask=mask)
        known = scores[np.isfinite(scores)]
        best = float(known.max()) if known.size else 0.0
        return float(np.clip((_MOVED - best) / (_MOVED - _OPENED), 0, 1))

    def _hull(self, unmatched: Pixels, close_px: int, shape: tuple[int, ...]) -> Floats:
        """Return the hull, in a core of this shape, of the unmatched parts that reach the lips, without small ones."""
        unmatched = cast(Pixels, cv2.morphologyEx(unmatched, cv2.MORPH_OPEN, _disc(_OPEN_PX)))
        unmatched = cast(Pixels, cv2.morphologyEx(unmatched, cv2.MORPH_CLOSE, _disc(close_px)))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(unmatched)
        areas = stats[:, cv2.CC_STAT_AREA] * (np.bincount(labels[self._lips], minlength=count) > 0)
        areas[0] = 0
        core = np.zeros(shape, np.float32)
        if areas.any():
            y, x = np.nonzero(areas[labels] > _MIN_PART_SHARE * areas.max())
            corners = cv2.convexHull(np.stack((x, y), axis=1).astype(np.int32))
            hull = np.zeros_like(unmatched)
            cv2.fillConvexPoly(hull, corners, 1)
            core[self._crop] = hull
        return core


class _Skin:
    """Colours of the skin of a face: a normal distribution."""

    def __init__(self, pixels: Pixels) -> None:
        """Learn the colours from pixels `(N, 3)` most of which show skin."""
        colours = pixels.astype(np.float64)
        near, mean = np.ones(len(colours), np.bool_), np.median(colours, axis=0)
        for _ in range(_SKIN_ROUNDS):
            spread = np.cov(colours[near], rowvar=False) + _SKIN_NOISE**2 * np.eye(3)
            self._whiten = np.linalg.inv(np.linalg.cholesky(spread))
            near = (((colours - mean) @ self._whiten.T) ** 2).sum(axis=1) < _SKIN_DISTANCE**2
            mean = colours[near].mean(axis=0)
        self._mean = mean

    def shows(self, pixels: Pixels) -> NDArray[np.bool_]:
        """Tell which pixels `(h, w, 3)` have the colour of skin; returns `(h, w)`."""
        apart = cv2.transform(pixels - self._mean, self._whiten)
        return cast(NDArray[np.bool_], (apart**2).sum(axis=2) < _SKIN_DISTANCE**2)


def insert_mouth(face: Pixels, mouth: Pixels, alpha: Floats, gain: Floats) -> tuple[Pixels, float]:
    """Blend `mouth` into `face`, both `(h, w, 3)` uint8, with opacity `alpha` `(h, w)`; less where it does not fit.

    `gain` `(3,)` multiplies the mouth's colours. The difference that remains around the mouth is spread over it like
    a membrane, so that no seam shows and stray skin vanishes. Also returns the share of the mouth that is shown.
    """
    below = face.astype(np.float32)
    inserted = mouth.astype(np.float32) * gain
    core = (alpha > 0.5).astype(np.uint8)
    ring = (cv2.dilate(core, _disc(2 * _RING_PX + 1)) > 0) & (alpha <= 0.5)
    share = 1.0
    if ring.any():
        share = share_by_seam((below - inserted)[ring])
        seam = np.clip(below - inserted, -_SEAM_LIMIT, _SEAM_LIMIT)
        inserted += _SEAM_SHARE * _fill_smoothly(seam, ring.astype(np.float32))
    blended = below + (inserted - below) * (alpha[..., None] * np.float32(share))
    return np.clip(blended + 0.5, 0, 255).astype(np.uint8), share


def _fill_smoothly(values: Floats, known: Floats) -> Floats:
    """Fill `values` `(h, w, 3)` smoothly where they are not `known`, from their mean to ever finer detail."""
    height, width = known.shape
    size = -(-width // _FILL_SHRINK), -(-height // _FILL_SHRINK)
    weighted = cv2.resize(np.dstack((values * known[..., None], known)), size, interpolation=cv2.INTER_AREA)
    total = weighted.sum(axis=(0, 1))
    filled = np.broadcast_to(total[:3] / total[3], (*weighted.shape[:2], 3))
    spread = max(size) / 4
    while spread >= _FINEST_SPREAD:
        nearby = cv2.GaussianBlur(weighted, (0, 0), spread)
        weight = np.minimum(1, nearby[..., 3:] * _KNOWN_GAIN)
        filled = filled + (nearby[..., :3] / (nearby[..., 3:] + _EPSILON) - filled) * weight
        spread /= 2
    return cast(Floats, cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR))


def _disc(side_px: int) -> Pixels:
    return cast(Pixels, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side_px, side_px)))
