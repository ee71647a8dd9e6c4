"""Restraint: how much of the driving face a portrait can show without smearing.

Three things are measured. Once per portrait, how well the face matches its mirror image: on a face that is turned or
drawn askew, the template's mouth is not where the mouth is. On each frame, how well the driving mouth meets the skin
around it, its seam, and how much of the face would fold. Where the first or second is poor, the mouth stays closed, and
on a turned face the lower face moves less; where the face would fold, it moves less.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np

from pipelines.animation.faces.aligned_view import Floats
from pipelines.animation.warp.fold_removal import MIN_AREA, smallest_areas
from pipelines.errors import Sentence

SYMMETRY = (0.48, 0.54)
"""Symmetry of a portrait up to which its mouth stays closed, and from which it follows in full. Measured: photographs
and drawings seen from the front 0.55 to 0.99, a three-quarter painting 0.37 to 0.40, a face with a crooked mouth 0.16.
Photographs turned on a cylinder by 35 degrees have 0.44 to 0.68: those that pass are left to the seam."""
SEAM_LEVELS = (44.0, 54.0)
"""Seam in grey levels up to which a mouth is shown in full, and from which it stays closed. Measured: 6 to 45 on faces
from the front, 50 to 70 where lips land on a cheek or below a nose."""
_LIGHT_COUNTS = 0.75
"""What a difference that is the same all around a mouth counts for: four fifths of it are corrected, up to 60."""
MOST_FOLDED = 0.12
"""Share of a face's nodes that may fold before folds are smoothed away. Measured: at most 0.07 on faces from the front,
around a mouth that opens wide, where smoothing moves nodes by 0.04 box sides at most; 0.01 on turned faces."""
HELD = 0.5
"""Share of the driving face below which a frame counts as held."""

_LOWER_FACE = (0.02, 0.14)
"""Where the lower face begins and from where it counts in full, below the centre of the face box, in its sides: nose
tip and upper lip."""
_KEPT_MOTION = 0.25
"""Share of the lower face's motion that is left where the mouth stays closed: enough for a head that turns."""


def share_by_symmetry(symmetry: float) -> float:
    """Return the share of the driving mouth that a face of this symmetry can show, 0 to 1."""
    worst, best = SYMMETRY
    return float(np.clip((symmetry - worst) / (best - worst), 0, 1))


def share_by_seam(seam: Floats) -> float:
    """Return the share of the mouth to show by its seam `(n, 3)`: what differs around it, per pixel and colour.

    What is the same all around counts less: it is a matter of light, most of which is corrected.
    """
    levels = max(
        float(np.abs(seam - np.median(seam, axis=0)).mean()), _LIGHT_COUNTS * float(np.abs(seam).mean())
    )
    good, bad = SEAM_LEVELS
    return float(np.clip((bad - levels) / (bad - good), 0, 1))


def share_by_folding(offsets: Floats, step: float) -> float:
    """Return the share of the face's motion to show by its `offsets` `(h, w, 2)` in pixels at nodes `step` apart."""
    if min(offsets.shape[:2]) < 2:
        return 1.0
    folded = float((smallest_areas(offsets, step) < MIN_AREA).mean())
    return min(1.0, MOST_FOLDED / folded) if folded else 1.0


def lower_face_weight(down: Floats, share: float) -> Floats:
    """Return the weight of the face's motion at heights `down` in face coordinates for a mouth shown in this share."""
    begin, full = _LOWER_FACE
    lower = np.clip((down - begin) / (full - begin), 0, 1)
    return cast(Floats, (1 - (1 - share) * (1 - _KEPT_MOTION) * lower).astype(np.float32))


def restraint_warning(symmetries: Sequence[float], held_frames: int, frames: int) -> str | None:
    """Return a warning about faces and frames whose mouth was held; None where there are none."""
    askew = [symmetry for symmetry in symmetries if share_by_symmetry(symmetry) < HELD]
    if askew:
        which = "The portrait's face" if len(symmetries) == 1 else f"{len(askew)} of {len(symmetries)} faces"
        return Sentence(
            f"{which} cannot be matched from the front: its halves agree by {min(askew):.2f}, and {SYMMETRY[1]:.2f} is "
            "needed. Its mouth stays closed and the lower face moves less, so that nothing smears. Choose a portrait "
            "that looks into the camera, or the network engine.",
            "askew",
        )
    if held_frames:
        return Sentence(
            f"The driving face did not fit the portrait on {held_frames} of {frames} frames: the mouth was kept closed "
            "or the face moved less there. Choose a portrait and a driving video that are seen from the same side, or "
            "the network engine.",
            "mouth_held",
            held=held_frames,
            frames=frames,
        )
    return None
