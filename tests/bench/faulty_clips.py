"""Clips with planted freezes and blurs, and clean ones, drawn from scikit-image's pictures and encoded by x264.

A camera (or a thing) moves over a picture at 640 x 360; frames are copied or blurred; noise is added before the copy,
after it, or both. Flat clips are of pictures almost without contrast. Clean clips have no fault: cuts, still pictures,
fades, films shown at a higher rate.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
Flags = NDArray[np.bool_]

WIDTH, HEIGHT = 640, 360
PICTURES = (
    "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "motorcycle_left.png", "rocket.jpg",
    "hubble_deep_field.jpg", "ihc.png", "brick.png", "gravel.png", "grass.png", "page.png", "retina.jpg",
)  # fmt: skip
LEAST_CONTRAST = 18.0
"""Deviation of the grey levels in the first frame below which another part of the picture is drawn."""
RATES = (10, 24, 25, 30, 50, 60, 120, 240)
MOTIONS = ("pan", "slow", "creep", "shake", "handheld", "object", "zoom")
MOST_FRAMES = 700


@dataclass
class Clip:
    """A clip as it goes into the encoder, and what was planted. `fault` is the kind, or the sort of a clean clip."""

    name: str
    fault: str
    lumas: list[Luma]
    rate: int
    crf: int
    preset: str
    planted: Flags
    labels: dict[str, str] = field(default_factory=dict)


def picture(name: str) -> Luma:
    """A picture in grey, enlarged to at most 1.6 times and mirrored until a camera has room in it."""
    loaded = cv2.imread(str(files("skimage.data") / name), cv2.IMREAD_GRAYSCALE)
    scale = min(1.6, max(1.0, 2400 / loaded.shape[1], 1100 / loaded.shape[0]))
    loaded = cv2.resize(loaded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    while loaded.shape[1] < 2400:
        loaded = np.hstack((loaded, loaded[:, ::-1]))
    while loaded.shape[0] < 1100:
        loaded = np.vstack((loaded, loaded[::-1]))
    return np.ascontiguousarray(loaded[:1400, :5000])


class Camera:
    """A camera, or a thing, that moves over a picture; speeds in pixels a second."""

    def __init__(self, rng: np.random.Generator, motion: str, frames: int, rate: int) -> None:
        self.rng, self.motion, self.rate = rng, motion, rate
        self.name = str(rng.choice(PICTURES))
        self.picture = picture(self.name)
        self.how = int(rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC))) | cv2.WARP_INVERSE_MAP
        self.path = self._path(frames)
        for _ in range(50):
            self.origin = rng.uniform((0, 0), (self.picture.shape[1] - 1000, self.picture.shape[0] - 500))
            first = self.frame(0)
            if first.std() >= LEAST_CONTRAST:
                break

    def _path(self, frames: int) -> NDArray[np.float64]:
        seconds = np.arange(frames) / self.rate
        rng, rest = self.rng, np.zeros(frames)
        if self.motion in ("pan", "slow", "creep"):
            least, most = {"pan": (40, 250), "slow": (10, 30), "creep": (4, 7)}[self.motion]
            speed, angle = rng.uniform(least, most), rng.uniform(-0.4, 0.4)
            if self.motion == "pan":  # along a wide circle, so that it never stands still to turn back
                turned = speed * seconds / 300
                return 300 * np.stack((1 - np.cos(turned), 1 - np.sin(turned)), 1)
            return speed * np.stack((seconds * np.cos(angle), seconds * np.sin(angle)), 1)
        if self.motion == "shake":
            waves = [
                rng.uniform(3, 8) * np.sin(2 * np.pi * f * seconds + rng.uniform(0, 6))
                for f in (1.7, 4.1, 2.3)
            ]
            return np.stack((waves[0] + waves[1] / 2, waves[2]), 1)
        if self.motion == "handheld":
            knots = rng.normal(0, 3, (max(8, int(seconds[-1] * 6) + 5), 2)).cumsum(0)
            return np.stack([cubic(knots[:, k], np.linspace(1, len(knots) - 3, frames)) for k in (0, 1)], 1)
        return np.stack((rest, rest), 1)

    def frame(self, index: int) -> Luma:
        (x, y), seconds = self.origin + self.path[index], index / self.rate
        scale = 1.0
        if self.motion == "zoom":
            scale = 1 / (1 + 0.05 * abs((seconds + 4) % 8 - 4))
        matrix = np.array([[scale, 0, x + 320 * (1 - scale)], [0, scale, y + 180 * (1 - scale)]])
        shown = cv2.warpAffine(
            self.picture, matrix, (WIDTH, HEIGHT), flags=self.how, borderMode=cv2.BORDER_REFLECT
        )
        if self.motion == "object":
            left, top = 270 + 180 * np.cos(seconds / 2), 135 + 90 * np.sin(seconds / 2)
            place = np.array([[1, 0, left], [0, 1, top]])
            thing = cv2.warpAffine(255 - self.picture[300:390, 300:390], place, (WIDTH, HEIGHT))
            mask = cv2.warpAffine(
                np.ones((90, 90), np.uint8), place, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST
            )
            shown = np.where(mask > 0, thing, shown)
        return shown

    def frames(self) -> list[Luma]:
        return [self.frame(index) for index in range(len(self.path))]


class FlatCamera(Camera):
    """A camera over a picture almost without contrast, as a night sky or fog: grey levels deviate by 1.7 to 2.8."""

    def __init__(self, rng: np.random.Generator, motion: str, frames: int, rate: int) -> None:
        self.mean, self.gain, self.level = 0.0, 1.0, 0.0
        super().__init__(rng, motion, frames, rate)
        contrast, level = rng.uniform(1.7, 2.8), rng.uniform(30, 150)
        if rng.random() < 0.4:  # a sky that is smooth, too
            sky = cv2.imread(str(files("skimage.data") / "rocket.jpg"), cv2.IMREAD_GRAYSCALE)[40:140, 290:440]
            enlarged = cv2.resize(sky, None, fx=9, fy=9, interpolation=cv2.INTER_CUBIC)
            self.name, self.picture = "sky", np.ascontiguousarray(np.tile(enlarged, (2, 3)))
            self.origin = rng.uniform((0, 0), (600, 200))
        first = self.frame(0)
        self.mean, self.gain, self.level = float(first.mean()), contrast / max(0.5, float(first.std())), level

    def frame(self, index: int) -> Luma:
        shown = super().frame(index).astype(np.float32)
        if self.level:
            shown = np.clip((shown - self.mean) * self.gain, -12, 12) + self.level
        return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def cubic(knots: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth curve (Catmull-Rom) through knots at 0, 1, 2 ..."""
    index = np.floor(at).astype(int).clip(1, len(knots) - 3)
    part = at - index
    a, b, c, d = (knots[index + k] for k in (-1, 0, 1, 2))
    return b + part / 2 * (c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)))


def noisy(lumas: list[Luma], deviation: float, rng: np.random.Generator) -> list[Luma]:
    if not deviation:
        return lumas
    return [
        np.clip(np.rint(f + deviation * rng.standard_normal(f.shape, np.float32)), 0, 255).astype(np.uint8)
        for f in lumas
    ]


def lengths(rng: np.random.Generator, rate: int, least_seconds: float, frames: int) -> list[int]:
    """Lengths of faults in frames: from `least_seconds` to as long as there is room."""
    room, found = frames, []
    while len(found) < 4:
        seconds = float(np.exp(rng.uniform(np.log(least_seconds), np.log(12))))
        length = max(1, round(seconds * rate))
        if length > room:
            break
        found.append(length)
        room -= length
    return found or [max(1, round(least_seconds * rate))]


def coding(rng: np.random.Generator) -> tuple[int, str]:
    return int(rng.integers(18, 29)), str(rng.choice(("veryfast", "medium")))


def freeze_clip(index: int, rng: np.random.Generator, kind: type[Camera] = Camera) -> Clip:
    rate, motion = RATES[index % len(RATES)], MOTIONS[index % len(MOTIONS)]
    gap = max(12, round(0.7 * rate))
    planned = lengths(rng, rate, 0.05, MOST_FRAMES - 5 * gap)
    camera = kind(rng, motion, gap + sum(planned) + gap * len(planned), rate)
    before = float(rng.choice((0, 1, 2.5)))
    after = float(rng.choice((0, 1, 2.5)))
    source = noisy(camera.frames(), before, rng)
    is_stop = bool(rng.random() < 0.4)  # the clock stops, too: the picture does not jump where motion resumes
    shown, planted, at = source[:gap], [False] * gap, gap
    for length in planned:
        shown += [shown[-1]] * length
        at += 0 if is_stop else length
        shown += source[at : at + gap]
        at += gap
        planted += [True] * length + [False] * gap
    crf, preset = coding(rng)
    name = f"freeze-{index}-{motion}-{camera.name.split('.')[0]}-{rate}-{before:g}-{after:g}-{crf}-{preset}"
    labels = {
        "motion": motion,
        "rate": str(rate),
        "noise after the copy": f"{after:g}",
        "crf": f"{crf - crf % 3} to {crf - crf % 3 + 2}",
    }
    fault = "freeze" if kind is Camera else "flat freeze"
    return Clip(name, fault, noisy(shown, after, rng), rate, crf, preset, np.array(planted), labels)


def blur_clip(index: int, rng: np.random.Generator) -> Clip:
    rate, motion = RATES[index % len(RATES)], MOTIONS[index % len(MOTIONS)]
    gap = max(12, round(0.7 * rate))
    planned = lengths(rng, rate, 0.1, MOST_FRAMES - 5 * gap)
    first = 0 if rng.random() < 0.15 else gap
    camera = Camera(rng, motion, first + sum(planned) + gap * len(planned), rate)
    sigma = float(rng.choice((1.5, 2.0, 3.5)))
    shown, planted, at = camera.frames(), np.zeros(len(camera.path), bool), first
    for length in planned:
        planted[at : at + length] = True
        at += length + gap
    shown = [
        cv2.GaussianBlur(f, (0, 0), sigma) if blurred else f
        for f, blurred in zip(shown, planted, strict=True)
    ]
    noise = float(rng.choice((0, 1, 2.5)))
    crf, preset = coding(rng)
    name = f"blur-{index}-{motion}-{camera.name.split('.')[0]}-{rate}-{sigma:g}-{noise:g}-{crf}-{preset}"
    labels = {
        "motion": motion,
        "rate": str(rate),
        "noise": f"{noise:g}",
        "sigma": f"{sigma:g}",
        "crf": f"{crf - crf % 3} to {crf - crf % 3 + 2}",
    }
    labels["picture"] = camera.name
    return Clip(name, "blur", noisy(shown, noise, rng), rate, crf, preset, planted, labels)


def repeated(lumas: list[Luma], counts: tuple[int, ...]) -> list[Luma]:
    return [f for i, f in enumerate(lumas) for _ in range(counts[i % len(counts)])]


CLEAN: dict[str, Callable[[np.random.Generator], tuple[list[Luma], int]]] = {
    "moving": lambda rng: (moving(rng, rate := int(rng.choice(RATES)), max(60, 3 * rate)), rate),
    "cuts": lambda rng: ([f for _ in range(4) for f in moving(rng, 30, 45)], 30),
    "title": lambda rng: ([moving(rng, 30, 1)[0]] * 70 + moving(rng, 30, 60), 30),
    "pan, title, pan": lambda rng: (moving(rng, 30, 50) + [moving(rng, 30, 1)[0]] * 80 + moving(rng, 30, 50), 30),
    "still": lambda rng: ([moving(rng, 30, 1)[0]] * 180, 30),
    "fades": lambda rng: (
        [cv2.convertScaleAbs(f, alpha=min(1, i / 25, (89 - i) / 25)) for i, f in enumerate(moving(rng, 30, 90))],
        30,
    ),
    "on twos": lambda rng: (repeated(moving(rng, 12, 80), (2,)), 24),
    "on threes": lambda rng: (repeated(moving(rng, 8, 60), (3,)), 24),
    "24 at 30": lambda rng: (repeated(moving(rng, 24, 130), (1, 1, 1, 2)), 30),
    "24 at 60": lambda rng: (repeated(moving(rng, 24, 110), (2, 3)), 60),
    "30 at 60": lambda rng: (repeated(moving(rng, 30, 110), (2,)), 60),
    "24 at 25": lambda rng: (repeated(moving(rng, 24, 220), (1,) * 23 + (2,)), 25),
}  # fmt: skip


def moving(rng: np.random.Generator, rate: int, frames: int) -> list[Luma]:
    return Camera(rng, str(rng.choice(MOTIONS)), frames, rate).frames()


def clean_clip(index: int, rng: np.random.Generator) -> Clip:
    sort = list(CLEAN)[index % len(CLEAN)]
    shown, rate = CLEAN[sort](rng)
    noise = float(rng.choice((0, 1, 2.5)))
    crf, preset = coding(rng)
    name = f"clean-{index}-{sort.replace(', ', '-').replace(' ', '-')}-{rate}-{noise:g}-{crf}-{preset}"
    planted = np.zeros(len(shown), bool)
    return Clip(name, sort, noisy(shown, noise, rng), rate, crf, preset, planted, {"sort": sort})


def encode(path: Path, clip: Clip) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(clip.rate))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": str(clip.crf), "preset": clip.preset}
        stream.thread_count = 1
        for luma in clip.lumas:
            for packet in stream.encode(av.VideoFrame.from_ndarray(cv2.merge([luma] * 3), "rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def makers(
    seed: int, freezes: int, blurs: int, clean: int, flat: int = 0
) -> Iterator[tuple[str, Callable[[], Clip]]]:
    """Name and maker of each clip; a maker does not depend on the others."""
    flat_clip = partial(freeze_clip, kind=FlatCamera)
    kinds = (
        ("freeze", freeze_clip, freezes), ("blur", blur_clip, blurs), ("clean", clean_clip, clean),
        ("flat", flat_clip, flat),
    )  # fmt: skip
    for number, (kind, make, count) in enumerate(kinds):
        for index in range(count):
            rng = np.random.default_rng((seed, number, index))
            yield f"{kind}-{index}", partial(make, index, rng)
