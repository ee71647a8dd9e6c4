"""Sound of the example clip: soft chords, a different one at each fault."""

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.example.faults import FAULTS, FRAME_RATE, FRAMES

_RATE_HZ = 44_100
"""Sampling rate."""
_LOUDNESS = 0.16
"""Share of full scale of one note."""
_FADE_SECONDS = 0.12
"""Length of the fade from one chord to the next."""
_PARTIALS = (1.0, 0.32, 0.12, 0.05)
"""Strengths of the harmonics of a note."""
_CALM, _NIGHT = (130.81, 196.00, 246.94, 329.63), (110.00, 164.81, 246.94, 293.66)
"""Chords of the two scenes, in Hz."""
_CHORDS: dict[str, tuple[float, ...]] = {
    "defocus": (116.54, 174.61, 220.00, 293.66),
    "motion_blur": (123.47, 185.00, 261.63, 392.00),
    "frozen": (174.61, 261.63, 349.23),
    "dark": (65.41, 98.00, 130.81, 155.56),
    "shake": (103.83, 155.56, 246.94, 370.00),
    "soft": (98.00, 146.83, 233.08, 293.66),
}
"""Chord at each fault, in Hz; a cut has none."""


def write_sound(path: Path) -> None:
    """Write the whole sound as WAV, 44.1 kHz, one channel. Holds it: about 10 MB."""
    sound = np.zeros(round(float(FRAMES / FRAME_RATE) * _RATE_HZ) + 1)
    for start, stop, chord in _sections():
        first, last = (round(float(frame / FRAME_RATE) * _RATE_HZ) for frame in (start, stop))
        part = _synthesise(chord, last - first)
        end = min(len(sound), first + len(part))
        sound[first:end] += part[: end - first]
    samples = np.clip(sound * _LOUDNESS * 32767, -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes(samples[:-1].tobytes())


def _sections() -> Iterator[tuple[int, int, tuple[float, ...]]]:
    """Yield (first frame, stop frame, chord): the scene's calm chord wherever there is no fault."""
    calm, begin = _CALM, 0
    for fault in FAULTS:
        yield begin, fault.start, calm
        if fault.kind == "cut":
            calm, begin = _NIGHT, fault.start
            continue
        yield fault.start, fault.stop, _CHORDS[fault.kind]
        begin = fault.stop
    yield begin, FRAMES, calm


def _synthesise(chord: tuple[float, ...], samples: int) -> NDArray[np.float64]:
    """Synthesise a chord, at most 1 on average of its notes; it fades in, and out over the start of the next one."""
    fade = round(_FADE_SECONDS * _RATE_HZ)
    seconds = np.arange(samples + fade) / _RATE_HZ
    sound = np.zeros(len(seconds))
    for number, note in enumerate(chord):
        tremolo = 1 + 0.25 * np.sin(2 * np.pi * (0.35 + 0.11 * number) * seconds + number)
        for partial, strength in enumerate(_PARTIALS, 1):
            sound += tremolo * strength * np.sin(2 * np.pi * note * partial * seconds)
    ramp = np.sin(np.linspace(0, np.pi / 2, fade)) ** 2
    sound[:fade] *= ramp
    sound[-fade:] *= ramp[::-1]
    return sound / len(chord)
