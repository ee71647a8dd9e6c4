"""The example of animating: a portrait, and a clip of somebody speaking, both from a picture in the public domain.

The portrait is the picture as a whole; who speaks is its face in a mirror, bent as if it moved.
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

from pipelines.errors import BadInput
from pipelines.example.clip import add_sound
from pipelines.example.moving_face import MovingFace, Pose, astronaut, speaking
from pipelines.storage.atomic import atomic_write
from pipelines.video.info import ColourTags
from pipelines.video.writer import VideoWriter


class PortraitExample(BaseModel):
    """Where the two are."""

    model_config = ConfigDict(frozen=True)
    type: Literal["portrait_example"] = "portrait_example"
    portrait: Path
    driving: Path


PORTRAIT, DRIVING = "longtake-portrait.png", "longtake-driving.mp4"

_FRAMES, _FRAME_RATE = 100, Fraction(25)
_COLOUR = ColourTags(matrix="bt709", range="tv", primaries="bt709", transfer="bt709")
_SOUND_RATE, _PITCH_HZ, _LOUDNESS = 22_050, 140.0, 0.3


def write_portrait_example(folder: Path) -> PortraitExample:
    """Draw portrait and driving clip, 4 s with sound, into `folder`; what is there already stays as it is.

    Holds some frames of 256 x 256. Raises BadInput where nothing can be written there,
    NotEnoughDisk, EncoderDied.
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
        raise BadInput(f"{folder} cannot be written ({error.strerror}).", "Name another place.") from error
    return PortraitExample(portrait=portrait.absolute(), driving=driving.absolute())


def _write_driving(path: Path) -> None:
    poses, face = speaking(_FRAMES), MovingFace(astronaut())
    with tempfile.TemporaryDirectory(prefix="longtake-") as folder:
        silent, sound = Path(folder) / "silent.mp4", Path(folder) / "sound.wav"
        _write_voice(poses, sound)
        with VideoWriter(silent, 256, 256, _FRAME_RATE, colour=_COLOUR, crf=18) as film:
            for pose in poses:
                film.write(np.ascontiguousarray(face.frame(pose)[:, ::-1]))
        add_sound(silent, sound, path, "longtake driving example")


def _write_voice(poses: list[Pose], path: Path) -> None:
    """A hum that is as loud as the mouth is open."""
    time = np.arange(round(float(_FRAMES / _FRAME_RATE) * _SOUND_RATE)) / _SOUND_RATE
    frames = np.arange(_FRAMES) / float(_FRAME_RATE)
    loud = np.interp(time, frames, [pose.open for pose in poses])
    tone = sum(np.sin(2 * np.pi * _PITCH_HZ * part * time) / part for part in (1, 2, 3, 5))
    samples = np.clip(_LOUDNESS * loud * tone * 32767, -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SOUND_RATE)
        file.writeframes(samples.tobytes())
