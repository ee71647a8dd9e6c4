"""Fetching published weights, from a release or from the Hugging Face hub: only ever when somebody asks for it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.errors import WeightsMissing
from pipelines.weights.catalog import PUBLISHED, Published
from pipelines.weights.download import Tell, Wanted, download
from pipelines.weights.locate import find, own_folder

_BESIDE_SHARDS = ("config.json", "tokenizer.model")
_KINDS = (("model", ".safetensors"), ("pytorch_model", ".bin"))
"""How shards are called; a repository may have both kinds, and the first is enough."""


def fetch(
    model: str, folder: Path | None, tell: Tell, warn: Callable[[str], None] = lambda sentence: None
) -> dict[str, Path]:
    """Fetch what is missing of `model` into `folder`, or into ours where none is given; returns what is there then.

    A file that is there and as long as the published one is left alone. Raises as `download` does, WeightsMissing
    where the hub cannot be asked.
    """
    published, target = PUBLISHED[model], (folder or own_folder() / model).expanduser().absolute()
    wanted = _on_the_hub(published) if published.repositories else _of_a_release(published)
    for file in wanted:
        path = target.joinpath(*PurePosixPath(file.path).parts)
        if not _is_there(path, file) and (sentence := download(file, path, tell)):
            warn(sentence)
    return find(model, target)


def _is_there(path: Path, wanted: Wanted) -> bool:
    known = wanted.size_bytes if wanted.sure else None
    return path.is_file() and known in (None, path.stat().st_size)


def _of_a_release(published: Published) -> Iterator[Wanted]:
    for file in published.files:
        yield Wanted(file.path, published.address + file.name, file.size_bytes, file.sha256, file.sure)


def _on_the_hub(published: Published) -> Iterator[Wanted]:
    """The model's files at the newest commit of its repository, with the hub's own sizes and hashes."""
    # Here: it takes long to load.
    from huggingface_hub import hf_hub_url

    repository, info = _ask_the_hub(published)
    listed = {entry.rfilename: entry for entry in info.siblings or ()}
    for path in _chosen(published, list(listed)):
        entry, known = listed.get(path), {file.path: file for file in published.files}.get(path)
        if entry is None:
            raise WeightsMissing(
                f"{repository} on the hub has no {path} any more.",
                f"See https://huggingface.co/{repository}.",
            )
        yield Wanted(
            path,
            hf_hub_url(repository, path, revision=info.sha),
            entry.size or (known.size_bytes if known else None),
            entry.lfs.sha256 if entry.lfs else known.sha256 if known else None,
        )


def _ask_the_hub(published: Published) -> tuple[str, Any]:
    """The first of the model's repositories that is there, and what the hub tells of it. Raises WeightsMissing."""
    from huggingface_hub import HfApi

    # HTTPError is that of whichever library the hub's client speaks with.
    from huggingface_hub.errors import HTTPError, RepositoryNotFoundError  # type: ignore[attr-defined]

    why: Exception | None = None
    for repository in published.repositories:
        try:
            return repository, HfApi().model_info(repository, files_metadata=True)
        except RepositoryNotFoundError as error:
            why = error
        except (HTTPError, OSError) as error:
            why = error
            break
    raise WeightsMissing(
        f"The hub could not be asked for {published.title} ({published.origin}): "
        f"{(str(why).strip() or type(why).__name__).splitlines()[0].rstrip('.')}.",
        "Try again, or fetch the files on another machine and give their folder with --weights.",
    ) from why


def _chosen(published: Published, listed: Sequence[str]) -> list[str]:
    """The files to fetch: those of the table, or a configuration with the shards of one kind."""
    if published.files:
        return [file.path for file in published.files]
    for stem, suffix in _KINDS:
        index = f"{stem}{suffix}.index.json"
        shards = [name for name in listed if name.startswith(stem) and name.endswith(suffix)]
        if shards:
            beside = [name for name in (*_BESIDE_SHARDS, index) if name in listed]
            return [*beside, *sorted(shards)]
    return ["config.json", f"{_KINDS[0][0]}{_KINDS[0][1]}"]
