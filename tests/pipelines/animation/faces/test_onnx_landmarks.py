"""Faces by ONNX: real loading and decoding, on tiny models of the published names with prescribed outputs."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.crop import landmark_bounds
from pipelines.animation.faces.landmark_pass import RESTART_FRAMES, WARM_UP_FRAMES, track_landmarks
from pipelines.animation.faces.onnx_landmarks import (
    DETECTOR,
    LANDMARKS,
    POINTS,
    OnnxDetector,
    OnnxFace,
    find_files,
)
from pipelines.animation.faces.track import FaceTrack
from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.spans import Span
from pipelines.weights import licences

onnx = pytest.importorskip("onnx", reason="the tiny models are made with onnx")
pytest.importorskip("onnxruntime", reason="requirements-faces.txt is not installed")

PICTURE = np.zeros((256, 512, 3), np.uint8)
EYES_NOSE_MOUTH = np.array([(-20, -25), (20, -25), (0, 0), (-15, 25), (15, 25)], np.float32)


def write(path: Path, side: int, answers: list[Any]) -> Path:
    """Write a model whose outputs are constant, but for a trace of its input, which is then not optimised away."""
    nodes, outputs, tensors = [], [], []
    nodes.append(onnx.helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0))
    for number, answer in enumerate(answers):
        tensors.append(onnx.numpy_helper.from_array(np.asarray(answer, np.float32), f"c{number}"))
        nodes.append(onnx.helper.make_node("Mul", ["mean", "nothing"], [f"z{number}"]))
        nodes.append(onnx.helper.make_node("Add", [f"c{number}", f"z{number}"], [f"o{number}"]))
        outputs.append(onnx.helper.make_tensor_value_info(f"o{number}", onnx.TensorProto.FLOAT, None))
    tensors.append(onnx.numpy_helper.from_array(np.float32(0), "nothing"))
    shape = [1, 3, side, side]
    entry = onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, shape)
    graph = onnx.helper.make_graph(nodes, "made", [entry], outputs, tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def detections(faces: list[tuple[float, float, float, float]], stride: int = 8) -> list[Any]:
    """Build the nine outputs for faces at x, y, half their side and score, in pixels of the padded picture."""
    scores, sides, points = ([np.zeros((2 * (512 // s) ** 2, n)) for s in (8, 16, 32)] for n in (1, 4, 10))
    level = (8, 16, 32).index(stride)
    for x, y, half, score in faces:
        at = 2 * (round(y / stride) * (512 // stride) + round(x / stride)) + 1
        scores[level][at] = score
        sides[level][at] = half / stride
        points[level][at] = (EYES_NOSE_MOUTH / stride).ravel()
    return [*scores, *sides, *points]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LONGTAKE_CONFIG", str(tmp_path / "config"))
    faces = [
        (96.0, 64.0, 40.0, 0.9),
        (104.0, 64.0, 40.0, 0.5),
        (304.0, 128.0, 60.0, 0.3),
        (400.0, 40.0, 90.0, 0.1),
    ]
    write(tmp_path / "insightface/models/buffalo_l" / DETECTOR, 512, detections(faces))
    write(tmp_path / "insightface/models/buffalo_l" / POINTS, 192, [np.linspace(-1, 1, 212)[None]])
    return tmp_path


@pytest.fixture
def faces(folder: Path) -> OnnxDetector:
    pair = folder / "insightface/models/buffalo_l"
    points = np.stack((np.linspace(0.3, 0.7, 203), np.linspace(0.2, 0.9, 203) ** 2), axis=1)
    models = [np.zeros((1, 4)), np.zeros((1, 6)), points.reshape(1, 406)]
    landmarks = write(folder / LANDMARKS, 224, models)
    return OnnxDetector({DETECTOR: pair / DETECTOR, POINTS: pair / POINTS, LANDMARKS: landmarks})


def test_files_are_taken_where_they_are_there_and_accepted(folder: Path) -> None:
    assert find_files(folder) is None
    licences.accept("insightface")
    found = find_files(folder)
    assert found and set(found) == {DETECTOR, POINTS}
    assert find_files(folder / "config") is None


def test_faces_are_decoded_the_largest_first_and_each_once(faces: OnnxDetector) -> None:
    """Of four faces, one overlaps another of a higher score, and one has too low a score."""
    large, small = faces.detect_faces(PICTURE)
    assert large.sides.tolist() == pytest.approx([304 - 60, 128 - 60, 304 + 60, 128 + 60])
    assert small.sides.tolist() == pytest.approx([56, 24, 136, 104])
    assert np.allclose(small.points, (*EYES_NOSE_MOUTH, 96, 64))
    box = faces.detect(PICTURE)[1]
    assert (box.x, box.y, box.size) == pytest.approx((96, 64 - 0.21 * 50, 2.48 * 50))
    assert box.votes == 90


def test_a_large_picture_is_made_smaller_and_the_answer_larger(faces: OnnxDetector) -> None:
    small = faces.detect_faces(np.zeros((512, 1024, 3), np.uint8))[1]
    assert small.sides.tolist() == pytest.approx([112, 48, 272, 208])


@pytest.mark.parametrize("stride", [16, 32])
def test_every_stride_is_read(tmp_path: Path, stride: int) -> None:
    path = write(tmp_path / DETECTOR, 512, detections([(128.0, 64.0, 50.0, 0.8)], stride))
    found = OnnxDetector({DETECTOR: path}).detect_faces(PICTURE)
    assert [one.sides.tolist() for one in found] == [pytest.approx([78, 14, 178, 114])]


def test_106_points_lie_where_the_window_says(faces: OnnxDetector) -> None:
    face = OnnxFace(np.array([100, 80, 140, 120], np.float32), 1.0, EYES_NOSE_MOUTH)
    points = faces.points(PICTURE, face)
    assert points.shape == (106, 2)
    assert points[0].tolist() == pytest.approx([120 - 30, 100 - 30], abs=0.5)
    assert points[-1].tolist() == pytest.approx([120 + 30, 100 + 30], abs=0.5)


def test_203_landmarks_lie_where_the_window_says(faces: OnnxDetector) -> None:
    around = np.concatenate([(*EYES_NOSE_MOUTH, 200, 100)])
    square = landmark_bounds(around).scaled(1.5, down=-0.1)
    found = faces.landmarks(PICTURE, around)
    assert found.shape == (203, 2)
    assert found[0, 0] == pytest.approx(square.x + (0.3 - 0.5) * square.side, abs=0.5)
    assert found[0, 1] == pytest.approx(square.y + (0.04 - 0.5) * square.side, abs=0.5)


def test_files_that_are_none_of_the_published(folder: Path, faces: OnnxDetector) -> None:
    other = write(folder / "other" / DETECTOR, 512, [np.zeros((1, 7))])
    with pytest.raises(WeightsBroken, match=r"not the published det_10g.onnx.*built-in face box"):
        OnnxDetector({DETECTOR: other}).detect(PICTURE)
    wrong_size = write(folder / "size" / DETECTOR, 64, [np.zeros((1, 7))])
    with pytest.raises(WeightsBroken):
        OnnxDetector({DETECTOR: wrong_size}).detect(PICTURE)
    torn = folder / "torn.onnx"
    torn.write_bytes(b"\x08\x07torn")
    with pytest.raises(WeightsBroken):
        OnnxDetector({LANDMARKS: torn}).landmarks(PICTURE, EYES_NOSE_MOUTH)
    with pytest.raises(WeightsMissing, match=r"landmark.onnx"):
        OnnxDetector({}).landmarks(PICTURE, EYES_NOSE_MOUTH)


class DependentLandmarks(OnnxDetector):
    """Each frame's landmarks are the previous ones, moved by its first pixel, so they depend on the past."""

    def __init__(self) -> None:
        super().__init__({})

    def detect_faces(self, picture: Any) -> list[OnnxFace]:
        seen = picture[0, 0, 0] != 7
        points = (*EYES_NOSE_MOUTH, 100, 60)
        other = OnnxFace(np.array([300, 0, 380, 90], np.float32), 0.9, (*EYES_NOSE_MOUTH, 340, 40))
        return [other, OnnxFace(np.array([60, 20, 140, 100], np.float32), 0.5, points)] if seen else []

    def points(self, picture: Any, face: OnnxFace) -> Any:
        assert face.sides[0] == 60
        return np.zeros((106, 2), np.float32)

    def landmarks(self, picture: Any, around: Any) -> Any:
        return np.full((203, 2), float(around.ravel()[0]) * 0.5 + float(picture[0, 0, 0]), np.float32)


def test_landmarks_are_the_same_from_any_start() -> None:
    rng = np.random.default_rng(0)
    frames = [np.full((4, 4, 3), value, np.uint8) for value in rng.integers(10, 99, 3 * RESTART_FRAMES)]
    for index in (0, 1, RESTART_FRAMES - 4):
        frames[index] = np.full((4, 4, 3), 7, np.uint8)
    box = FaceBox(100, 50, 124)
    span = Span(5, 5 + len(frames))
    track = FaceTrack(span, box, 5, np.array([(100, 50, np.log(124))]), np.array([True]))
    read_from: list[int] = []

    def read(start: int, stop: int) -> Generator[Any]:
        read_from.append(start)
        yield from frames[start - 5 : stop - 5]

    whole = list(track_landmarks(DependentLandmarks(), read, track, 5, span.stop))
    assert whole[0] is None and whole[1] is None
    assert all(one is not None for one in whole[2:])
    for start in (6, 5 + RESTART_FRAMES, 40 + RESTART_FRAMES, 5 + 2 * RESTART_FRAMES - 1):
        part = list(track_landmarks(DependentLandmarks(), read, track, start, start + 10))
        for one, expected in zip(part, whole[start - 5 : start + 5], strict=True):
            assert (one is None) == (expected is None)
            assert one is None or np.array_equal(one, expected)
        assert start - read_from[-1] < RESTART_FRAMES + WARM_UP_FRAMES
