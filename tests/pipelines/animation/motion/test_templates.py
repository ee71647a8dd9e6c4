"""Motion templates: round trips, published ones of every age, and malicious ones."""

import os
import pickle
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.animation.motion import templates
from pipelines.animation.motion.motions import Motions
from pipelines.animation.motion.templates import Template, read_template, write_template
from pipelines.errors import BadInput

SHAPES = {"turn": (3, 3), "expression": (21, 3), "translation": (3,), "scale": (1,), "canonical": (21, 3)}
SHAPES |= {"keypoints": (21, 3), "eyes": (2,), "lips": (1,)}


def template(frames: int = 3, *, ratios: bool = True) -> Template:
    random = np.random.default_rng(7)
    parts: dict[str, Any] = {
        name: random.random((frames, *shape)).astype(np.float32)
        for name, shape in SHAPES.items()
        if ratios or name not in ("eyes", "lips")
    }
    return Template(Motions(**parts), Fraction(30000, 1001))


def assert_same(found: Motions, expected: Motions) -> None:
    for name, part in expected.parts().items():
        other = found.parts()[name]
        assert (part is None) == (other is None)
        assert part is None or (np.array_equal(part, other) and other.dtype == np.float32)


@pytest.mark.parametrize("ratios", [True, False])
@pytest.mark.parametrize("name", ["a.pkl", "a.npz"])
def test_there_and_back(tmp_path: Path, name: str, ratios: bool) -> None:
    path, given = tmp_path / name, template(ratios=ratios)
    write_template(path, given)
    found = read_template(path)
    assert_same(found.motions, given.motions)
    assert found.rate == (given.rate if name == "a.npz" else 29)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_what_is_written_is_what_is_published(tmp_path: Path) -> None:
    write_template(tmp_path / "a.pkl", template())
    table = pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert (table["n_frames"], table["output_fps"]) == (3, 29)
    shapes = {name: part.shape for name, part in table["motion"][0].items()}
    assert shapes == {
        **{"R": (1, 3, 3), "exp": (1, 21, 3), "t": (1, 3), "scale": (1, 1)},
        **{"kp": (1, 21, 3), "x_s": (1, 21, 3)},
    }
    assert (table["c_eyes_lst"][0].shape, table["c_lip_lst"][0].shape) == ((1, 2), (1, 1))


def published(**changes: Any) -> dict[str, Any]:
    frame = {
        **{"R": np.eye(3)[None], "exp": np.zeros((1, 21, 3))},
        **{"t": np.zeros((1, 3)), "scale": np.ones((1, 1))},
    }
    frame = {name: part.astype(np.float32) for name, part in frame.items()}
    return {"n_frames": 1, "output_fps": 25, "motion": [{**frame, **changes.pop("frame", {})}], **changes}


def read(tmp_path: Path, content: Any, protocol: int = 4) -> Template:
    path = tmp_path / "given.pkl"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    return read_template(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    found = read(tmp_path, published(), protocol)
    assert np.array_equal(found.motions.turn, np.eye(3, dtype=np.float32)[None])
    assert (len(found.motions), found.rate, found.motions.eyes) == (1, 25, None)


def test_pickles_of_before_numpy_2_are_read(tmp_path: Path) -> None:
    data = pickle.dumps(published(), protocol=2).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core." in data
    assert read(tmp_path, data).motions.scale.tolist() == [[1.0]]


def test_names_of_older_templates_are_read(tmp_path: Path) -> None:
    given = published(
        c_d_eyes_lst=[np.full((1, 2), 0.3, np.float32)], c_d_lip_lst=[np.zeros((1, 1), np.float32)]
    )
    given["motion"][0]["R_d"] = given["motion"][0].pop("R")
    found = read(tmp_path, given).motions
    assert found.eyes is not None
    assert found.eyes.tolist() == [pytest.approx([0.3, 0.3])]
    assert not found.canonical.any()


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_a_template_that_wants_to_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    data = pickle.dumps(published(n_frames=Trap(sprung)))
    with pytest.raises(BadInput, match=r"posix\.mkdir.*not run"):
        read(tmp_path, data)
    assert not sprung.exists()
    pickle.loads(data)
    assert sprung.exists(), "the trap is a real one"


class Getattr:
    """Names something harmless on the way to something that is not."""

    def __reduce__(self) -> Any:
        return getattr, ("name", "upper")


class Huge:
    """An array that says that it has more numbers than there is memory."""

    def __reduce__(self) -> Any:
        return np.ndarray, ((2**40,),)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", "EOFError|not a readable motion template"),
        (b"not a pickle", "not a readable motion template"),
        (pickle.dumps([1, 2]), "no list of motions"),
        (pickle.dumps({"motion": []}), "no list of motions"),
        (pickle.dumps(published(motion=[5])), "not a dictionary"),
        (pickle.dumps(published(frame={"exp": np.zeros((1, 20, 3), np.float32)})), "expression"),
        (pickle.dumps(published(frame={"R": "eye"})), "turn"),
        (pickle.dumps(published(frame={"t": np.full((1, 3), np.nan, np.float32)})), "translation"),
        (pickle.dumps(published(frame={"t": np.zeros((1, 3), object)})), "translation"),
        (pickle.dumps(published(c_eyes_lst=[np.zeros((1, 2), np.float32)] * 2)), "2 values of eyes for 1"),
        (pickle.dumps(published(n_frames=Getattr())), "getattr"),
        (pickle.dumps(published(frame={"t": Huge()})), "a malformed array"),
        (pickle.dumps(published())[:-20], "not a readable motion template"),
    ],
)
def test_what_is_no_template_is_refused_with_a_reason(tmp_path: Path, given: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        read(tmp_path, given)
    assert "given.pkl" in caught.value.message
    assert caught.value.hint


def test_a_frame_without_a_turn_is_refused(tmp_path: Path) -> None:
    given = published()
    del given["motion"][0]["R"]
    with pytest.raises(BadInput, match="no R"):
        read(tmp_path, given)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_template(path, template())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="not a readable motion template"):
        read_template(path)
    np.savez(path, rate=np.array([25, 1]), turn=np.zeros((2, 9), np.float32))
    with pytest.raises(BadInput, match="turn has the shape"):
        read_template(path)
    np.savez(
        path, rate=np.array([25, 0]), **{k: v for k, v in template().motions.parts().items() if v is not None}
    )
    with pytest.raises(BadInput, match="ZeroDivisionError"):
        read_template(path)


def test_what_is_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "LARGEST_BYTES", 10_000)
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("turn.npy", bytes(1_000_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(BadInput, match="unpacks"):
        read_template(path)
    path.write_bytes(bytes(20_000))
    with pytest.raises(BadInput, match="too large"):
        read_template(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere"):
        read_template(tmp_path / "nowhere.pkl")
