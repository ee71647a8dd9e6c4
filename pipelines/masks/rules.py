"""The rules by which masks are read, for images and videos alike: which values mean "masked".

One rule holds for a whole sequence. It is the first of these that applies:

| rule | applies to | marked |
|---|---|---|
| transparency | an alpha channel that is at most half as opaque in some places as in others | the opaque half |
| palette | images with a palette, unless it is a grey scale that reaches white | every colour but number 0 |
| labels | values 0 and 1; lossless images and videos of few values, all below half of white | every value but 0 |
| brightness | all others | brighter than half of white |

Brightness is the largest of red, green and blue of an image, and luma of a video. White is 255, 65535 in images with
greater values, and 1 in images of real numbers up to 1. An alpha channel that is opaque throughout decides nothing, and
neither does an image that marks nothing. Antialiased masks have values below half of white, too, but white as well:
so all of a sequence is searched for it before labels are believed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["transparency", "palette", "labels", "brightness"]

SENTENCES: dict[Kind, str] = {
    "transparency": "The mask is read by its transparency: what is opaque is marked, whatever its colours.",
    "palette": "The mask is read by the numbers of its palette: every colour but number 0 is marked.",
    "labels": "The mask is read as numbers of objects: every value but 0 is marked.",
    "brightness": "The mask is read by its brightness: what is brighter than half of white is marked.",
}
MOST_LABELS = 64
"""Numbers of objects, 0 included, that one image may have to be a label map; more values are shades."""
WHITES = (1, 255, 65535)
"""What white may be: in 0 and 1, in 8 bits, in 16 bits."""
LOSSY_NOISE = 127
"""In lossy formats, black may be as bright as this around edges: below half of white nothing is marked."""

_IN_DOUBT: tuple[Kind, ...] = ("palette", "brightness", "labels")
"""The order of rules where no image is certain."""


@dataclass(frozen=True)
class Rule:
    """A rule that marks pixels whose value exceeds `threshold`."""

    kind: Kind
    threshold: float

    @property
    def sentence(self) -> str:
        """What the rule marks, for the user."""
        return SENTENCES[self.kind]


BRIGHTNESS = Rule("brightness", 127.5)


@dataclass(frozen=True)
class Evidence:
    """What one image or frame says about the rule of its sequence.

    `opacity` is the least and the greatest alpha, None without an alpha channel; `rule` is the rule by its other
    channels, None where it marks nothing. A rule that is not `certain` gives way to one of a later image.
    """

    opacity: tuple[float, float] | None
    rule: Rule | None
    certain: bool = True


def decide(evidence: Iterable[Evidence]) -> Rule:
    """Decide the rule of a sequence. Stops at the first image that settles it."""
    low, high = np.inf, 0.0
    found: dict[Kind, Rule] = {}
    for each in evidence:
        if each.opacity:
            low, high = min(low, each.opacity[0]), max(high, each.opacity[1])
            if 2 * low <= high and high > 0:
                return Rule("transparency", high / 2)
        if each.rule is None:
            continue
        if each.certain and not each.opacity:
            return each.rule
        found.setdefault(each.rule.kind, each.rule)
    return next((found[kind] for kind in _IN_DOUBT if kind in found), BRIGHTNESS)


def by_values(parts: Callable[[], Iterable[NDArray[Any]]], *, lossy: bool) -> Rule | None:
    """Find the rule for brightness or labels, of which `parts()` gives all values; None if they mark nothing.

    `parts` is called twice where the values are dark.
    """
    top, is_real = -np.inf, False
    for part in parts():
        top, is_real = max(top, float(part.max())), part.dtype.kind == "f"
    if top <= (LOSSY_NOISE if lossy else 0):
        return None
    white = next((white for white in WHITES if top <= white), top)
    if white == 1:
        return Rule("brightness" if is_real else "labels", 0.5)
    if not lossy and 2 * top < white and _are_labels(parts()):
        return Rule("labels", 0)
    return Rule("brightness", white / 2)


def _are_labels(parts: Iterable[NDArray[Any]]) -> bool:
    """Whether there are few enough different values."""
    found: set[Any] = set()
    for part in parts:
        found.update(np.unique(part).tolist())
        if len(found) > MOST_LABELS:
            return False
    return True
