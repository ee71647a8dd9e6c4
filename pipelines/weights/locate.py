"""Where weights lie: in a folder that is given, or in the usual places. Light: opens none of them, needs no torch."""

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.weights.catalog import PUBLISHED, File, Published

_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLES = ("model.safetensors", "pytorch_model.bin")
_EXTRAS = ("tokens.json", "tokenizer.model")
"""What may lie beside shards and is used where it does."""


def find(model: str, folder: Path | None = None) -> dict[str, Path]:
    """The files of `model`: published name without folders -> path. All of them lie in one place.

    Where a `folder` is given no other counts. Otherwise: what `LONGTAKE_WEIGHTS` names, the Hugging Face cache, our
    own (`own_folder`). A folder may be flat, or have the published layout, or a subfolder of the model's name.
    Raises WeightsMissing with the names of what is not there, and how to get it; WeightsBroken for an index that
    cannot be read.
    """
    published, best = PUBLISHED[model], None
    for place in [folder] if folder else places(model):
        for root in _roots(published, place):
            found, missing = _look(published, root)
            if not missing:
                return found
            if best is None or len(found) > len(best[0]):
                best = found, missing
    raise _missing(published, folder, best[1] if best else _all_names(published))


def places(model: str) -> list[Path]:
    """The folders that are looked at where none is given, the first one first; they need not be there."""
    named = os.environ.get("LONGTAKE_WEIGHTS")
    return [
        *([Path(named).expanduser().absolute()] if named else []),
        *_snapshots(PUBLISHED[model]),
        own_folder(),
    ]


def own_folder() -> Path:
    """The folder below which fetched weights are kept, one folder a model: `LONGTAKE_CACHE` says where caches are."""
    named, caches = os.environ.get("LONGTAKE_CACHE"), os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(named) if named else Path(caches) / "longtake").expanduser().absolute() / "weights"


def anchor() -> None:
    """Make what the environment names independent of the current folder: other processes of ours run elsewhere."""
    for name in ("LONGTAKE_WEIGHTS", "LONGTAKE_CACHE", "LONGTAKE_CONFIG"):
        if named := os.environ.get(name):
            os.environ[name] = os.fspath(Path(named).expanduser().absolute())


def _snapshots(published: Published) -> Iterator[Path]:
    """The newest snapshots of the model's repositories in the cache that all programs of the hub share."""
    # Its constants alone: they know the environment variables, and the rest of the library takes long to load.
    from huggingface_hub import constants

    for repository in published.repositories:
        kept = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
        try:
            yield kept / "snapshots" / (kept / "refs" / "main").read_text().strip()
        except OSError:
            yield from sorted(kept.glob("snapshots/*"), key=lambda path: path.stat().st_mtime, reverse=True)


def _roots(published: Published, place: Path) -> list[Path]:
    names = (published.model, *(PurePosixPath(repository).name for repository in published.repositories))
    return [place, *(place / name for name in names)]


def _look(published: Published, root: Path) -> tuple[dict[str, Path], list[str]]:
    """What of the model lies in `root`, and the names of what does not."""
    if not published.files:
        return _look_for_shards(root)
    there = {file: path for file in published.files if (path := _at(root, file)) is not None}
    missing = [file.name for file in published.files if file.needed and file not in there]
    return {file.name: path for file, path in there.items()}, missing


def _at(root: Path, file: File) -> Path | None:
    """The file flat in `root`, or at the end of as much of the published layout as there is."""
    parts = PurePosixPath(file.path).parts
    candidates = (root.joinpath(*parts[start:]) for start in reversed(range(len(parts))))
    return next((path for path in candidates if _is_file(path)), None)


def _look_for_shards(root: Path) -> tuple[dict[str, Path], list[str]]:
    index = next((root / name for name in _INDICES if _is_file(root / name)), None)
    single = next((name for name in _SINGLES if _is_file(root / name)), None)
    if index:
        names = ["config.json", index.name, *_shards(index)]
    else:
        names = ["config.json", single or f"{_INDICES[0]} with its shards"]
    there = {name: root / name for name in names if _is_file(root / name)}
    extras = {name: root / name for name in _EXTRAS if _is_file(root / name)}
    return there | extras, [name for name in names if name not in there]


def _is_file(path: Path) -> bool:
    """Whether a file lies there; a folder that may not be looked into has none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _shards(index: Path) -> list[str]:
    """The names of the shards that an index names, in order. Raises WeightsBroken."""
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        if names and all(isinstance(name, str) and Path(name).name == name for name in names):
            return names
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_index(index) from error
    raise _no_index(index)


def _no_index(index: Path) -> WeightsBroken:
    return WeightsBroken(f"{index} is no index of weights that can be read.", "Fetch the file again.")


def _all_names(published: Published) -> list[str]:
    return [file.name for file in published.files if file.needed] or [
        "config.json",
        f"{_INDICES[0]} with its shards",
    ]


def _missing(published: Published, folder: Path | None, names: list[str]) -> WeightsMissing:
    command = f"python -m pipelines weights {published.model} --fetch"
    where = f"in {folder}" if folder else "in any of the usual places"
    into = f" --weights {folder}" if folder else ""
    return WeightsMissing(
        f"{published.title} needs {_listed(names)}, not found {where}.",
        f"`{command}{into}` downloads from {published.origin} into {folder or own_folder() / published.model}"
        + ("." if folder else "; --weights or LONGTAKE_WEIGHTS name another folder."),
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
