"""Example of animating: a portrait, and a clip of a person speaking, both from a picture in the public domain.

The portrait is the whole picture; the driving clip shows its face mirrored and warped as if it moved.
"""

import tempfile
import wave
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict
from skimage import data

from pipelines.errors import kind_of
from pipelines.example.clip import add_sound
from pipelines.example.moving_face import MovingFace, Pose, astronaut, speaking
from pipelines.storage.atomic import atomic_write
from pipelines.video.info import ColourTags
from pipelines.video.writer import VideoWriter


class PortraitExample(BaseModel):
    """Paths of portrait and driving clip."""

    model_config = ConfigDict(frozen=True)
    type: Literal["portrait_example"] = "portrait_example"
    portrait: Path
    driving: Path


PORTRAIT, DRIVING = "longtake-portrait.png", "longtake-driving.mp4"

_FRAMES, _FRAME_RATE = 100, Fraction(25)
"""Four seconds at 25 frames per second."""
_COLOUR = ColourTags(matrix="bt709", range="tv", primaries="bt709", transfer="bt709")
_SOUND_RATE, _PITCH_HZ, _LOUDNESS = 22_050, 140.0, 0.3
"""Sampling rate in Hz, pitch of the voice, and its loudness as a share of full scale."""


def write_portrait_example(folder: Path) -> PortraitExample:
    """Draw portrait and driving clip, 4 s with sound, into `folder`; existing files are left as they are.

    Holds some frames of 256 x 256. Raises BadInput where nothing can be written there, NotEnoughDisk, EncoderDied.
    """
    portrait, driving = folder / PORTRAIT, folder / DRIVING
    try:
        if not portrait.exists():
            with atomic_write(portrait) as part:
                Image.fromarray(data.astronaut()).save(part, "PNG")  # type: ignore[no-untyped-call]
        if not driving.exists():
            with atomic_write(driving) as part:
                _write_driving(part)
    except OSError as error:
        raise kind_of(error)(
            f"{folder} cannot be written ({error.strerror}).", "Choose another folder."
        ) from error
    return PortraitExample(portrait=portrait.absolute(), driving=driving.absolute())


def _write_driving(path: Path) -> None:
    poses, face = speaking(_FRAMES), MovingFace(astronaut())
    with tempfile.TemporaryDirectory(prefix="longtake-") as folder:
        silent, sound = Path(folder) / "silent.mp4", Path(folder) / "sound.wav"
        _write_voice(poses, sound)
        with VideoWriter(silent, 256, 256, _FRAME_RATE, colour=_COLOUR, crf=18) as video:
            for pose in poses:
                video.write(np.ascontiguousarray(face.frame(pose)[:, ::-1]))
        add_sound(silent, sound, path, "longtake driving example")


def _write_voice(poses: list[Pose], path: Path) -> None:
    """Write a hum that is as loud as the mouth is open."""
    seconds = np.arange(round(float(_FRAMES / _FRAME_RATE) * _SOUND_RATE)) / _SOUND_RATE
    frames = np.arange(_FRAMES) / float(_FRAME_RATE)
    loudness = np.interp(seconds, frames, [pose.open for pose in poses])
    tone = sum(np.sin(2 * np.pi * _PITCH_HZ * harmonic * seconds) / harmonic for harmonic in (1, 2, 3, 5))
    samples = np.clip(_LOUDNESS * loudness * tone * 32767, -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SOUND_RATE)
        file.writeframes(samples.tobytes())
