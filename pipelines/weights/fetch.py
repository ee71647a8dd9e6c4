"""Download of published weights, from a release or from the Hugging Face hub, and only when the user asks for it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.errors import WeightsMissing
from pipelines.weights.catalog import PUBLISHED, Published
from pipelines.weights.download import RemoteFile, Report, download
from pipelines.weights.locate import find, own_folder

_BESIDE_SHARDS = ("config.json", "tokenizer.model")
_KINDS = (("model", ".safetensors"), ("pytorch_model", ".bin"))
"""Stem and suffix of shards, the preferred kind first; a repository may hold both, and one is enough."""


def fetch(
    model: str, folder: Path | None, report: Report, warn: Callable[[str], None] = lambda sentence: None
) -> dict[str, Path]:
    """Download the missing files of `model` into `folder`, by default into our own; return all files by their names.

    A file that exists and is as long as the published one is not downloaded again. `warn` receives a sentence if a
    file differs from the copies that are known. Raises as `download` does, and WeightsMissing if the hub does not
    answer.
    """
    published, target = PUBLISHED[model], (folder or own_folder() / model).expanduser().absolute()
    remote_files = _hub_files(published) if published.repositories else _release_files(published)
    for remote in remote_files:
        path = target.joinpath(*PurePosixPath(remote.path).parts)
        if not _is_complete(path, remote) and (sentence := download(remote, path, report)):
            warn(sentence)
    return find(model, target)


def _is_complete(path: Path, remote: RemoteFile) -> bool:
    size_bytes = remote.size_bytes if remote.sure else None
    return path.is_file() and size_bytes in (None, path.stat().st_size)


def _release_files(published: Published) -> Iterator[RemoteFile]:
    for file in published.files:
        yield RemoteFile(file.path, published.address + file.name, file.size_bytes, file.sha256, file.sure)


def _hub_files(published: Published) -> Iterator[RemoteFile]:
    """The model's files at the newest commit of its repository, with the sizes and hashes that the hub states."""
    from huggingface_hub import hf_hub_url  # imported late: it takes long to load

    repository, info = _model_info(published)
    listed = {entry.rfilename: entry for entry in info.siblings or ()}
    for path in _chosen(published, list(listed)):
        entry, known = listed.get(path), {file.path: file for file in published.files}.get(path)
        if entry is None:
            raise WeightsMissing(
                f"{repository} on the Hugging Face hub no longer has {path}.",
                f"See https://huggingface.co/{repository}.",
            )
        yield RemoteFile(
            path,
            hf_hub_url(repository, path, revision=info.sha),
            entry.size or (known.size_bytes if known else None),
            entry.lfs.sha256 if entry.lfs else known.sha256 if known else None,
            version=info.sha,
        )


def _model_info(published: Published) -> tuple[str, Any]:
    """The first of the model's repositories that exists, and the hub's description of it. Raises WeightsMissing."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    why: Exception | None = None
    for repository in published.repositories:
        try:
            return repository, HfApi().model_info(repository, files_metadata=True)
        except RepositoryNotFoundError as error:
            why = error
        except (httpx2.HTTPError, OSError) as error:
            why = error
            break
    raise WeightsMissing(
        f"The Hugging Face hub did not list the files of {published.title} ({published.origin}): "
        f"{(str(why).strip() or type(why).__name__).splitlines()[0].rstrip('.')}.",
        "Try again, or fetch the files on another machine and give their folder with --weights.",
    ) from why


def _chosen(published: Published, listed: Sequence[str]) -> list[str]:
    """The paths to download: those of the catalogue, or the configuration and the shards of one kind."""
    if published.files:
        return [file.path for file in published.files]
    for stem, suffix in _KINDS:
        index = f"{stem}{suffix}.index.json"
        shards = [name for name in listed if name.startswith(stem) and name.endswith(suffix)]
        if shards:
            beside = [name for name in (*_BESIDE_SHARDS, index) if name in listed]
            return [*beside, *sorted(shards)]
    return ["config.json", f"{_KINDS[0][0]}{_KINDS[0][1]}"]
