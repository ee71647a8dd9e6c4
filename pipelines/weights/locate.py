"""Location of weight files on disk: in a named folder or in the usual places. Opens no weights and needs no torch."""

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.storage.paths import cache_folder
from pipelines.weights.catalog import PUBLISHED, File, Published

_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLES = ("model.safetensors", "pytorch_model.bin")
_EXTRAS = ("tokens.json", "tokenizer.model")
"""Optional files beside shards."""


def find(model: str, folder: Path | None = None) -> dict[str, Path]:
    """Return the files of `model`, published name without folders -> path, all from one place.

    Searches `folder` alone if it is given; otherwise the folder that `LONGTAKE_WEIGHTS` names, the Hugging Face cache
    and our own folder (`own_folder`), in this order. A folder may be flat, have the published layout, or have a
    subfolder of the model's name.
    Raises WeightsMissing with the missing names and the command that fetches them, WeightsBroken for an index that
    cannot be read.
    """
    published, best = PUBLISHED[model], None
    for searched in [folder] if folder else search_folders(model):
        for root in _roots(published, searched):
            found, missing = _files_in(published, root)
            if not missing:
                return found
            if best is None or len(found) > len(best[0]):
                best = found, missing
    raise _missing(published, folder, best[1] if best else _all_names(published))


def search_folders(model: str) -> list[Path]:
    """The folders that are searched by default, in order of precedence; they need not exist."""
    named = os.environ.get("LONGTAKE_WEIGHTS")
    return [
        *([Path(named).expanduser().absolute()] if named else []),
        *_snapshots(PUBLISHED[model]),
        own_folder(),
    ]


def own_folder() -> Path:
    """The folder of fetched weights, one subfolder per model: `weights` in `LONGTAKE_CACHE` or `~/.cache/longtake`."""
    return cache_folder() / "weights"


def anchor() -> None:
    """Make the paths in our environment variables absolute: our other processes run in other working directories."""
    for name in ("LONGTAKE_WEIGHTS", "LONGTAKE_CACHE", "LONGTAKE_CONFIG"):
        if named := os.environ.get(name):
            os.environ[name] = os.fspath(Path(named).expanduser().absolute())


def _snapshots(published: Published) -> Iterator[Path]:
    """Snapshots of the model's repositories in the Hugging Face cache: the current one, or else the newest first."""
    # Only the constants, which read the environment variables: the rest of the library takes long to load.
    from huggingface_hub import constants

    for repository in published.repositories:
        kept = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
        try:
            yield kept / "snapshots" / (kept / "refs" / "main").read_text().strip()
        except OSError:
            yield from sorted(kept.glob("snapshots/*"), key=lambda path: path.stat().st_mtime, reverse=True)


def _roots(published: Published, folder: Path) -> list[Path]:
    names = (published.model, *(PurePosixPath(repository).name for repository in published.repositories))
    return [folder, *(folder / name for name in names)]


def _files_in(published: Published, root: Path) -> tuple[dict[str, Path], list[str]]:
    """The model's files in `root`, and the names of those that are missing there."""
    if not published.files:
        return _shards_in(root)
    there = {file: path for file in published.files if (path := _at(root, file)) is not None}
    missing = [file.name for file in published.files if file.needed and file not in there]
    return {file.name: path for file, path in there.items()}, missing


def _at(root: Path, file: File) -> Path | None:
    """The path of the file in `root`, directly or below any tail of its published folders; None if it is missing."""
    parts = PurePosixPath(file.path).parts
    candidates = (root.joinpath(*parts[start:]) for start in reversed(range(len(parts))))
    return next((path for path in candidates if _is_file(path)), None)


def _shards_in(root: Path) -> tuple[dict[str, Path], list[str]]:
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
    """Return whether `path` is a file; a folder without read permission counts as empty."""
    try:
        return path.is_file()
    except OSError:
        return False


def _shards(index: Path) -> list[str]:
    """The shards that an index names, sorted. Raises WeightsBroken."""
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        if names and all(isinstance(name, str) and Path(name).name == name for name in names):
            return names
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_index(index) from error
    raise _no_index(index)


def _no_index(index: Path) -> WeightsBroken:
    return WeightsBroken(f"{index} is not a readable index of weights.", "Fetch the file again.")


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
