"""Motion templates: a driving video reduced to its motions, in the published format and in Longtake's.

A published template is a pickle, which could run any code; it is read by an unpickler that knows arrays, lists and
numbers and nothing else. Longtake's own, `.npz`, holds the same arrays for all frames and the exact frame rate.
"""

import io
import pickle
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.animation.motion.keypoints import POINTS, Floats
from pipelines.animation.motion.motions import SHAPES, Motions
from pipelines.errors import BadInput, fault_of
from pipelines.storage.atomic import atomic_write
from pipelines.storage.names import shortened

LARGEST_BYTES = 2**29
"""Largest template that is read: more than three hours of frames."""

_PUBLISHED_NAMES = {
    "turn": ("R", "R_d"),
    "expression": ("exp",),
    "translation": ("t",),
    "scale": ("scale",),
    "canonical": ("kp",),
    "keypoints": ("x_s",),
}
"""Names in a published template, in its newer and its older form."""
_RATIO_NAMES = {"eyes": ("c_eyes_lst", "c_d_eyes_lst"), "lips": ("c_lip_lst", "c_d_lip_lst")}
_OPTIONAL = ("canonical", "keypoints")
"""Not used from a driving; older templates lack these, and they are zero then."""


@dataclass(frozen=True)
class Template:
    """Driving video reduced to its motions. One frame stands for a driving picture."""

    motions: Motions
    rate: Fraction
    """Frames per second."""


def read_template(path: Path) -> Template:
    """Read a template from a `.pkl` or `.npz` file. Runs no code from it. Raises BadInput."""
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise fault_of(error, BadInput)(
            f"{path} cannot be read ({error.strerror}).", "Check the path."
        ) from error
    if size_bytes > LARGEST_BYTES:
        raise BadInput(
            f"{path} is too large for a motion template ({size_bytes >> 20} MiB).",
            _HINT,
            "template.large",
            name=path.name,
            size_bytes=size_bytes,
        )
    try:
        return _read_npz(path) if path.suffix == ".npz" else _from_published(_unpickled(path.read_bytes()))
    except _READ_ERRORS as error:
        raise BadInput(
            f"{path} is not a readable motion template: {_reason(error)}.",
            _HINT,
            "template.unreadable",
            name=path.name,
        ) from error


def write_template(path: Path, template: Template) -> None:
    """Write a `.pkl` in the published format, its frame rate truncated to a whole number, or an `.npz`."""
    with atomic_write(path) as part, part.open("wb") as file:
        if path.suffix == ".npz":
            parts = {name: value for name, value in template.motions.parts().items() if value is not None}
            rate = np.array([template.rate.numerator, template.rate.denominator], np.int64)
            np.savez(file, rate=rate, **parts)  # type: ignore[arg-type]
        else:
            pickle.dump(_to_published(template), file, protocol=4)


def write_template_file(
    path: Path, rate: Fraction, frames: int, blocks: Callable[[], Iterable[Motions]]
) -> None:
    """Write an `.npz` of `frames` frames whose motions `blocks()` yields in order, anew on each call. Holds one block.

    Eyes and lips are left out where the first block has none.
    """
    with atomic_write(path) as part, zipfile.ZipFile(part, "w") as archive:
        with archive.open("rate.npy", "w") as file:
            np.lib.format.write_array(file, np.array([rate.numerator, rate.denominator], np.int64))
        present = {name for name, value in next(iter(blocks())).parts().items() if value is not None}
        for name, shape in SHAPES.items():
            if name not in present:
                continue
            header = {"descr": "<f4", "fortran_order": False, "shape": (frames, *shape)}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for block in blocks():
                    file.write(np.ascontiguousarray(block.parts()[name], "<f4").tobytes())


def published_template(path: Path) -> Path:
    """Convert the template at `path` to a `.pkl` in the published format beside it. Holds all its frames.

    Raises BadInput.
    """
    target = path.with_suffix(".pkl")
    write_template(target, read_template(path))
    return target


_HINT = "Give a template that LivePortrait or Longtake wrote, or the driving video itself."
_READ_ERRORS = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    # What damaged data can raise while it is read.
    *(EOFError, OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError),
)


def _reason(error: BaseException) -> str:
    is_ours = isinstance(error, (pickle.UnpicklingError, ValueError))
    return shortened(str(error)) if is_ours else type(error).__name__


class _Array:
    """Placeholder for the type of pickled arrays; it cannot be instantiated."""

    def __new__(cls, *_: object) -> "_Array":
        raise pickle.UnpicklingError("it holds a malformed array")


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> NDArray[Any]:
    """Return the empty array as which a pickled one begins; its data comes later."""
    if kind is not _Array or tuple(shape) != (0,):
        raise pickle.UnpicklingError("it holds a malformed array")
    return np.zeros(0, np.uint8)


def _from_buffer(
    buffer: Any, kind: np.dtype[Any], shape: tuple[int, ...], order: str, *more: Any
) -> NDArray[Any]:
    """Return an array from its bytes, as in newer pickles."""
    return np.frombuffer(buffer, kind).reshape(shape, order="F" if order == "F" else "C")


def _scalar(kind: np.dtype[Any], data: bytes) -> Any:
    return np.frombuffer(data, kind, count=1)[0]


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Return bytes as old pickles wrote them."""
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode_latin1,
}
"""Everything that a template may name, and what that resolves to."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which was not run") from None


def _unpickled(data: bytes) -> dict[str, Any]:
    found = _Unpickler(io.BytesIO(data)).load()
    if not isinstance(found, dict) or not isinstance(found.get("motion"), list) or not found["motion"]:
        raise ValueError("it has no list of motions")
    return found


def _from_published(found: dict[str, Any]) -> Template:
    frames = found["motion"]
    parts: dict[str, Any] = {
        name: _stack(name, [_lookup(frame, names, name in _OPTIONAL) for frame in frames])
        for name, names in _PUBLISHED_NAMES.items()
    }
    for name, names in _RATIO_NAMES.items():
        ratios = next((found[key] for key in names if found.get(key)), None)
        if ratios is not None:
            if len(ratios) != len(frames):
                raise ValueError(f"it has {len(ratios)} values of {name} for {len(frames)} frames")
            parts[name] = _stack(name, ratios)
    return Template(Motions(**parts), Fraction(int(found.get("output_fps", 25))))


def _lookup(frame: Any, names: tuple[str, ...], optional: bool) -> Any:
    if not isinstance(frame, dict):
        raise ValueError("a motion is not a dictionary")
    found = next((frame[name] for name in names if name in frame), None)
    if found is None and not optional:
        raise ValueError(f"a motion has no {names[0]}")
    return np.zeros((POINTS, 3), np.float32) if found is None else found


def _stack(name: str, values: list[Any]) -> Floats:
    """Stack the values of all frames, (N, ...)."""
    shape = SHAPES[name]
    for value in values:
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.size != np.prod(shape):
            raise ValueError(f"{name} does not have {'x'.join(map(str, shape))} numbers in every frame")
    return _check_finite(name, np.stack([value.reshape(shape) for value in values]))


def _check_finite(name: str, values: NDArray[Any]) -> Floats:
    if not np.isfinite(values).all():
        raise ValueError(f"{name} is not a number in some frame")
    return np.ascontiguousarray(values, np.float32)


def _read_npz(path: Path) -> Template:
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST_BYTES:
            raise ValueError("it unpacks to more than a template can hold")
    with np.load(path, allow_pickle=False) as found:
        numerator, denominator = (int(number) for number in found["rate"])
        parts: dict[str, Any] = {name: found[name] for name in SHAPES if name in found.files}
    frames = len(parts["turn"])
    for name, values in parts.items():
        if values.shape != (frames, *SHAPES[name]) or values.dtype.kind != "f" or not frames:
            raise ValueError(f"{name} has the shape {values.shape}")
    return Template(
        Motions(**{name: _check_finite(name, values) for name, values in parts.items()}),
        Fraction(numerator, denominator),
    )


def _to_published(template: Template) -> dict[str, Any]:
    motions = template.motions
    parts = motions.parts()
    frames = [
        {names[0]: np.array(parts[name])[i : i + 1] for name, names in _PUBLISHED_NAMES.items()}
        for i in range(len(motions))
    ]
    table: dict[str, Any] = {"n_frames": len(motions), "output_fps": int(template.rate), "motion": frames}
    for name, names in _RATIO_NAMES.items():
        ratios = parts[name]
        table[names[0]] = [] if ratios is None else [ratios[i : i + 1] for i in range(len(motions))]
    return table
