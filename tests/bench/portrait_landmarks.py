"""Animating with the built-in engine: how far the portrait's landmarks stay from the driving's, judged from outside.

    python tests/bench/portrait_landmarks.py [--judge PYTHON] [--portraits PICTURE ...] [--drivings VIDEO ...]

The judge is MediaPipe's face mesh, which the project neither uses nor needs: `--judge` is a Python that can import it
(`pip install mediapipe==0.10.14 "numpy<2"` into an environment of its own), by default this one. Portraits are two
photographs in the public domain, mirrored and turned, a drawn face, and those that are given; drivings are one that is
drawn, and those that are given. On the first frame of each driving, and at each of its cuts, the portrait is at rest.

Motion is that of 468 landmarks since then, in face sizes: the square root of the area of the box around the
landmarks at rest. `all` is the mean distance of the landmarks' motion on the result from that on the driving; `face`
the same once the head's own motion, a similarity, is taken out of both; `mouth` and `eyes` are the differences in how
far lips and lids move apart. Each is the mean of the frames, and the 95th percentile. `held` is the share of the
frames on which the engine reports that it shows less than half of the face's motion. `error` is the largest local
error of the face without mouth and eyes, in grey levels: what of it no part of the portrait explains, moved plainly
(`tests/pipelines/animation/local_error.py`), on every fourth frame. No judge is exact: the first row
of a driving compares it with itself at two thirds of its size. Results are printed as a table and kept in
tests/bench/results/.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipelines.animation.faces.alignment import fit  # noqa: E402  after the path is set
from pipelines.animation.faces.selection import CascadeDetector  # noqa: E402  after the path is set
from pipelines.example.moving_face import (  # noqa: E402  after the path is set
    MovingFace,
    Pose,
    astronaut,
    speaking,
)
from pipelines.video.probe import probe  # noqa: E402  after the path is set
from pipelines.video.reader import read_frames  # noqa: E402  after the path is set
from pipelines.video.writer import VideoWriter  # noqa: E402  after the path is set
from tests.pipelines.animation.conftest import admiral  # noqa: E402  after the path is set
from tests.pipelines.animation.drawn_face import drawn  # noqa: E402  after the path is set
from tests.pipelines.animation.local_error import local_errors  # noqa: E402  after the path is set

FRAMES, SHORTEST_PX, LONGEST_PX = 120, 360, 640
TURNS = (-0.5, -0.25, 0.3)
"""Turns of the photographs to the side, in radians."""
LIPS = ((13, 14), (82, 87), (312, 317))
LIDS = (((159, 145), (158, 153), (160, 144)), ((386, 374), (385, 380), (387, 373)))
"""Landmarks of the mesh: pairs of the upper and the lower inner lip, and of the lids of either eye."""
STEADY = [33, 133, 362, 263, 168, 6, 197, 195, 10, 109, 338, 127, 356, 234, 454]
"""Landmarks that hardly any expression moves: eye corners, bridge of the nose, forehead, temples."""
KINDS = ("all", "face", "mouth", "eyes")
JUDGE = """
import sys
import numpy as np
from mediapipe.python.solutions import face_mesh
frames = np.load(sys.argv[1], mmap_mode="r")
found = np.full((len(frames), 468, 2), np.nan)
with face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True, min_detection_confidence=0.3) as mesh:
    for index, frame in enumerate(frames):
        faces = mesh.process(np.ascontiguousarray(frame)).multi_face_landmarks
        if faces:
            height, width = frame.shape[:2]
            found[index] = [(point.x * width, point.y * height) for point in faces[0].landmark[:468]]
np.save(sys.argv[2], found)
"""


def judged(judge: str, frames: Any) -> Any:
    """Find the landmarks `(N, 468, 2)` of frames `(N, H, W, 3)`; NaN where the judge finds no face."""
    with tempfile.TemporaryDirectory() as name:
        pixels, found = Path(name) / "frames.npy", Path(name) / "landmarks.npy"
        np.save(pixels, frames)
        subprocess.run([judge, "-c", JUDGE, str(pixels), str(found)], check=True, capture_output=True)
        return np.load(found)


def resized(picture: Any, longest_px: int, shortest_px: int = 0) -> Any:
    height, width = picture.shape[:2]
    scale = min(1.0, longest_px / max(height, width))
    scale = max(scale, shortest_px / min(height, width))
    size = round(width * scale), round(height * scale)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def portraits(given: list[Path]) -> dict[str, Any]:
    """Return the portraits by name, `(H, W, 3)` uint8 RGB."""
    found = {"drawn": drawn(0.0)}
    for name, face in (("astronaut", astronaut()), ("admiral", admiral())):
        moving = MovingFace(face)
        found[name] = face.picture
        found[f"{name}, mirrored"] = np.ascontiguousarray(face.picture[:, ::-1])
        for yaw in TURNS:
            found[f"{name}, turned by {np.degrees(yaw):.0f}"] = moving.frame(Pose(yaw=yaw))
    for path in given:
        with Image.open(path) as picture:
            found[path.stem] = np.asarray(picture.convert("RGB"))
    return {name: resized(picture, LONGEST_PX, SHORTEST_PX) for name, picture in found.items()}


def read(path: Path, frames: int | None = None) -> Any:
    """Read the first `frames` of a video, `(N, H, W, 3)` uint8 RGB."""
    with closing(read_frames(probe(path), 0, frames)) as read_ahead:
        return np.array([frame.rgb() for frame in read_ahead])


def opening(points: Any, pairs: Any) -> Any:
    """Return how far the pairs are apart on each frame, on average."""
    apart = [np.linalg.norm(points[:, low] - points[:, up], axis=-1) for up, low in pairs]
    return np.mean(apart, axis=0)


def at_rest(points: Any) -> tuple[Any, Any]:
    """Return the landmarks in face sizes, and the same with the head as on the first frame."""
    width, height = np.ptp(points[0], axis=0)
    points = (points - points[0].mean(axis=0)) / np.sqrt(width * height)
    still = []
    for frame in points:
        if np.isnan(frame).any():
            still.append(frame)
            continue
        matrix, _ = cv2.estimateAffinePartial2D(frame[STEADY], points[0][STEADY], method=cv2.LMEDS)
        still.append(frame @ matrix[:, :2].T + matrix[:, 2])
    return points, np.array(still)


def distances(result: Any, driving: Any, cuts: list[int]) -> dict[str, Any]:
    """Return the distance of each kind on each frame, in face sizes; NaN where the judge found no face."""
    parts = [
        _distances(result[part], driving[part])
        for part in (slice(*pair) for pair in pairwise([0, *cuts, len(result)]))
    ]
    return {kind: np.concatenate([part[kind][1:] for part in parts]) for kind in KINDS}


def _distances(result: Any, driving: Any) -> dict[str, Any]:
    (moved, face), (driven, driving_face) = at_rest(result), at_rest(driving)
    found = {
        "all": np.linalg.norm((moved - moved[0]) - (driven - driven[0]), axis=-1).mean(axis=-1),
        "face": np.linalg.norm((face - face[0]) - (driving_face - driving_face[0]), axis=-1).mean(axis=-1),
    }
    for kind, groups in (("mouth", (LIPS,)), ("eyes", LIDS)):
        change = [
            [opening(points, pairs) - opening(points, pairs)[0] for pairs in groups]
            for points in (face, driving_face)
        ]
        found[kind] = np.abs(np.mean(change[0], axis=0) - np.mean(change[1], axis=0))
    return found


def animated(picture: Any, clip: Path, folder: Path) -> tuple[Any, Path]:
    """Animate a portrait by the command line; returns frames and report."""
    portrait, jobs = folder / "portrait.png", folder / "jobs"
    Image.fromarray(picture).save(portrait)
    command = ["animate", str(portrait), str(clip), "--engine", "flowwarp", "--jobs-dir", str(jobs)]
    ran = subprocess.run(
        [sys.executable, "-m", "pipelines", *command, "--crf", "10"], cwd=ROOT, capture_output=True, text=True
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr.strip().splitlines()[-1])
    report = next(jobs.glob("*/report.json"))
    return read(next(report.parent.glob("result.*"))), report


def worst_error(result: Any, picture: Any) -> str:
    """Return the largest local error outside mouth and eyes, on every fourth frame."""
    box = max(CascadeDetector().detect(picture), key=lambda box: box.size)
    placement = fit(picture, box)
    return f"{max(local_errors(frame, picture, placement)['rest'] for frame in result[::4]):.0f}"


def row(names: tuple[str, str], found: dict[str, Any], *others: str) -> str:
    cells = []
    for kind in KINDS:
        values = found[kind]
        seen = values[~np.isnan(values)]
        cells.append(f"{seen.mean():.3f}, {np.percentile(seen, 95):.3f}" if len(seen) else "no face found")
    return f"| {' | '.join((*names, *cells, *others))} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--judge", default=sys.executable)
    parser.add_argument("--portraits", type=Path, nargs="*", default=[])
    parser.add_argument("--drivings", type=Path, nargs="*", default=[])
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--keep", type=Path, help="Folder for the results' frames as .npz files.")
    arguments = parser.parse_args()
    asked = subprocess.run(
        [arguments.judge, "-c", "import mediapipe; print(mediapipe.__version__)"],
        capture_output=True,
        text=True,
    )
    if asked.returncode:
        raise SystemExit(
            f"{arguments.judge} cannot import mediapipe: install it and give its Python with --judge."
        )
    lines = [
        f"Judge: MediaPipe {asked.stdout.strip()}, face mesh. In face sizes: mean of the frames, 95th percentile.",
        "",
        "| driving | portrait | all | face | mouth | eyes | held | symmetry | error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as name:
        drawn_driving = Path(name) / "drawn.mp4"
        moving = MovingFace(astronaut())
        with VideoWriter(drawn_driving, 256, 256, Fraction(25), preset="veryfast") as writer:
            for pose in speaking(arguments.frames):
                writer.write(moving.frame(pose))
        for path in (drawn_driving, *arguments.drivings):
            frames = read(path, arguments.frames)
            driving = judged(arguments.judge, frames)
            smaller = np.array([resized(frame, 2 * max(frame.shape) // 3) for frame in frames])
            clip = Path(name) / f"{path.stem}-short.mp4"
            with VideoWriter(clip, *frames.shape[2:0:-1], Fraction(25), crf=10, preset="veryfast") as writer:
                for frame in frames:
                    writer.write(frame)
            names = path.stem, "itself, smaller"
            lines.append(row(names, distances(judged(arguments.judge, smaller), driving, []), "", "", ""))
            print(lines[-1], flush=True)
            for portrait, picture in portraits(arguments.portraits).items():
                try:
                    with tempfile.TemporaryDirectory() as folder:
                        result, report = animated(picture, clip, Path(folder))
                        summary = json.loads(report.read_text())["summary"]
                    if arguments.keep:
                        np.savez(arguments.keep / f"{path.stem}-{portrait}.npz", frames=result)
                    found = distances(
                        judged(arguments.judge, result), driving, [cut["frame"] for cut in summary["cuts"]]
                    )
                    held = f"{summary['frames_with_mouth_held'] / len(result):.0%}"
                    symmetry = f"{summary['symmetry'][0]:.2f}"
                    others = held, symmetry, worst_error(result, picture)
                    lines.append(row((path.stem, portrait), found, *others))
                except RuntimeError as error:
                    lines.append(f"| {path.stem} | {portrait} | {error} | | | | | | |")
                print(lines[-1], flush=True)
    out = ROOT / "tests/bench/results/portrait_landmarks.md"
    out.write_text("\n".join(["# portrait_landmarks", "", *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
