"""The commands that faults are tried on: clips of two seconds, drawn, each in three spans of eight frames."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from tests.faults.harness import PATIENCE_SECONDS, Task

_JOBS = ("--jobs-dir", "{jobs}")
_DRAFT = ("--quality", "draft")


def draw(folder: Path) -> dict[str, Task]:
    """Draw the inputs into `folder`; return the tasks by name."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = _clip(folder / "clip.mp4", "testsrc2=size=96x64:rate=12:duration=2")
    films = folder / "films"
    films.mkdir(exist_ok=True)
    for name, source in (
        ("a", "testsrc=size=64x48:rate=8:duration=2"),
        ("b", "testsrc2=size=64x48:rate=8:duration=2"),
    ):
        _clip(films / f"{name}.mp4", source)
    portrait, driving = _portrait(folder)
    frames = "{out}.frames"
    tasks = (
        Task("score", ("score", str(clip), *_JOBS, "-o", "{out}"), "scores.csv"),
        Task(
            "inpaint",
            (
                "inpaint",
                str(clip),
                "--box",
                "36,16,20,36@0",
                *_DRAFT,
                *_JOBS,
                "-o",
                "{out}",
                "--frames-out",
                frames,
            ),
            "result.mp4",
        ),
        Task(
            "track",
            ("track", str(clip), "--box", "36,16,20,36@0", *_DRAFT, *_JOBS, "-o", "{out}"),
            "track.mp4",
        ),
        Task(
            "animate",
            ("animate", str(portrait), str(driving), *_DRAFT, *_JOBS, "-o", "{out}"),
            "animated.mp4",
        ),
        Task(
            "crew",
            (
                "inpaint",
                str(clip),
                "--box",
                "36,16,20,36@0",
                *_DRAFT,
                *_JOBS,
                "-o",
                "{out}",
                "--workers",
                "2",
            ),
            "crew.mp4",
        ),
        Task("folder", ("score", str(films), *_JOBS, "-o", "{out}"), "tables"),
    )
    return {task.name: task for task in tasks}


def _clip(path: Path, source: str) -> Path:
    return encoded(path, source, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def encoded(path: Path, source: str, *encode: str) -> Path:
    """Draw a video by ffmpeg's `source`; made once."""
    if not path.exists():
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *encode, "-y", str(path)]
        subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
    return path


def _portrait(folder: Path) -> tuple[Path, Path]:
    """Scikit-image's astronaut, and the same face as a video that nods."""
    from skimage import data

    face = np.ascontiguousarray(data.astronaut()[0:240, 110:350])
    portrait, driving = folder / "face.png", folder / "driving.mp4"
    if not driving.exists():
        Image.fromarray(face).resize((128, 128)).save(portrait)
        small = [
            np.asarray(Image.fromarray(np.roll(face, i // 2, axis=0)).resize((128, 128))) for i in range(24)
        ]
        encode = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-y", str(driving))
        raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "128x128", "-r", "12", "-i", "-")
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        command = [ffmpeg, "-v", "error", *raw, *encode]
        subprocess.run(command, input=b"".join(map(bytes, small)), check=True, timeout=PATIENCE_SECONDS)
    return portrait, driving
