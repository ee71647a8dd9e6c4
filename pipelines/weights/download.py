"""Download of one file over HTTP: interrupted downloads resume, content is checked, and a file is complete or absent.

`huggingface_hub` transfers the bytes, those of releases outside the hub too. Its `hf_hub_download` is not used: it
deletes what had arrived when the process is interrupted, and it does not hash the content.
Until it is complete the file is called `NAME.part`; `NAME.part.tag` says which version of the file that is part of.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Self

from filelock import lock_descriptor

from pipelines.errors import LongtakeError, NotEnoughDisk, WeightsBroken, WeightsMissing, kind_of
from pipelines.storage.contents import read_contents, remember

Report = Callable[[str, int, int | None], None]
"""Receives the progress of a file: its name, the bytes that have arrived, and the bytes in all where known."""

_MOST_RETRIES = 3
"""Retries of the first request, after 1, 2 and 4 seconds: who is offline reads so after 7 seconds."""
_SPARE_BYTES = 2**26
"""Disk space that stays free beside the file, for whatever else the machine writes meanwhile."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to download: its URL, its path below the target folder, and what is known about its content.

    `sure`: a different size or hash is a reason to refuse the file, not just to warn. `version` changes whenever the
    content may have changed; without one, the server is asked for its ETag.
    """

    path: str
    url: str
    size_bytes: int | None = None
    sha256: str | None = None
    sure: bool = True
    version: str | None = None

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return PurePosixPath(self.path).name


def download(remote: RemoteFile, target: Path, report: Report) -> str:
    """Download one file to `target`; return a warning if it differs from the copies that are known, else "".

    Holds one chunk of it (10 MiB). Raises WeightsMissing if the server cannot be reached or refuses (what arrived is
    kept for the next call), WeightsBroken if the content is not what was published, NotEnoughDisk, and BadInput for
    a folder that cannot be written to.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            _claim(file, target)
            try:
                _receive(remote, file, part, report)
            finally:
                if not file.tell():
                    _discard(part)
            os.fsync(file.fileno())
            contents = read_contents(part) if remote.sha256 else None
            warning = _check_hash(remote, part, contents.sha256) if contents else ""
            part.replace(target)
            if contents:  # a job that reads these weights need not hash them again
                remember(target, contents)
        _tag(part).unlink(missing_ok=True)
    except OSError as error:
        if (named := kind_of(error)) is NotEnoughDisk:
            raise named(
                f"The disk is full ({error}).", "What arrived is kept; make room and fetch again."
            ) from error
        raise named(
            f"{target.name} cannot be written to {target.parent}: {error.strerror or error}.",
            "Choose another folder with --weights.",
        ) from error
    return warning


def _claim(file: BinaryIO, target: Path) -> None:
    if not lock_descriptor(file.fileno(), blocking=False):
        raise LongtakeError(
            f"Another process is fetching {target.name} into {target.parent}.", "Wait until it has ended."
        )


def _receive(remote: RemoteFile, file: BinaryIO, part: Path, report: Report) -> None:
    """Download the rest of the file behind what `file` holds; starts again if that is part of another version."""
    import httpx2
    from huggingface_hub.file_download import http_get

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings would break our progress bars
    headers = _headers(remote)
    with _network_errors(remote, part.parent):
        known = remote if remote.version is not None else _probe(remote, headers)
    _keep_only(known, file, part)
    _check_size(remote, known.size_bytes, file.tell(), part)
    bar: Any = partial(_ProgressBar, partial(report, remote.name))
    with _network_errors(remote, part.parent):
        while True:
            have = file.seek(0, os.SEEK_END)
            try:
                http_get(
                    remote.url,
                    file,
                    resume_size=have,
                    headers=headers,
                    expected_size=known.size_bytes,
                    tqdm_class=bar,
                )
                break
            except httpx2.ReadError:
                # http_get resumes after a timeout and an early end, but not after a connection reset.
                if file.seek(0, os.SEEK_END) == have:
                    raise
    file.flush()


def _headers(remote: RemoteFile) -> dict[str, str]:
    """Headers for the hub with the user's token, if there is one, and without it for any other server."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    token = None if remote.url.startswith(f"{constants.ENDPOINT}/") else False
    # Identity: a compressed answer has another length than the file, and cannot be resumed.
    return {**build_hf_headers(token=token, library_name="longtake"), "Accept-Encoding": "identity"}


def _probe(remote: RemoteFile, headers: dict[str, str]) -> RemoteFile:
    """`remote` with the size and the version that the server states. Raises httpx2.HTTPError.

    By GET, of which only the head is read: addresses that are signed for GET refuse HEAD.
    """
    from huggingface_hub.utils import http_stream_backoff  # type: ignore[attr-defined]

    with http_stream_backoff("GET", remote.url, headers=headers, max_retries=_MOST_RETRIES) as response:
        response.raise_for_status()
        length, tag = response.headers.get("Content-Length"), response.headers.get("ETag", "")
    # A weak tag (W/"...") does not promise equal bytes.
    return replace(
        remote, size_bytes=int(length) if length else None, version=tag if tag.startswith('"') else ""
    )


def _keep_only(known: RemoteFile, file: BinaryIO, part: Path) -> None:
    """Empty the part, unless it is of the version that is on the server now; note which one it is."""
    stored = ""
    with suppress(OSError):
        stored = _tag(part).read_text()
    if stored != known.version or file.tell() > (known.size_bytes or file.tell()):
        file.truncate(0)
        file.seek(0)
    if known.version:
        _tag(part).write_text(known.version)
    else:
        _tag(part).unlink(missing_ok=True)


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)


class _ProgressBar:
    """What `http_get` needs of a tqdm bar; passes the bytes that have arrived on to a function."""

    def __init__(
        self, report: Callable[[int, int | None], None], *, total: int | None, initial: int, **_: Any
    ) -> None:
        self._report, self._done, self._total = report, initial, total

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, more: int) -> None:
        self._done += more
        self._report(self._done, self._total)


def _check_size(remote: RemoteFile, total: int | None, have: int, part: Path) -> None:
    """Compare the server's size with the published one and with the free space, before anything is transferred."""
    if total is None:
        return
    if remote.sure and remote.size_bytes not in (None, total):
        _discard(part)
        raise WeightsBroken(
            f"{remote.url} has {total:,} bytes, the published {remote.name} {remote.size_bytes:,}.",
            "It may have been replaced there; get the file elsewhere and give its folder with --weights.",
        )
    free = shutil.disk_usage(part.parent).free
    if total - have > free - _SPARE_BYTES:
        raise NotEnoughDisk(
            f"{remote.name} needs {(total - have) / 1e9:.1f} GB more, {free / 1e9:.1f} GB are free in {part.parent}.",
            "Make room or choose another folder with --weights.",
        )


def _check_hash(remote: RemoteFile, part: Path, found: str) -> str:
    """Compare the content with the published hash. Raises WeightsBroken; if the hash is not sure, returns a warning."""
    if remote.sha256 is None or found == remote.sha256:
        return ""
    if not remote.sure:
        return (
            f"{remote.name} is not equal to the copies of it that are known (sha256 {found[:12]}… instead of "
            f"{remote.sha256[:12]}…); the release's own hash is not published."
        )
    _discard(part)
    raise WeightsBroken(
        f"What arrived from {remote.url} is not the published {remote.name}: its sha256 is {found[:12]}…, not "
        f"{remote.sha256[:12]}….",
        "It was deleted; fetch it again.",
    )


@contextmanager
def _network_errors(remote: RemoteFile, folder: Path) -> Iterator[None]:
    """Turn errors of the network and of the server into WeightsMissing; those of the disk have an errno and pass."""
    import httpx2

    try:
        yield
    except (httpx2.HTTPError, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        answer = getattr(error, "response", None)
        if answer is not None:
            why = f"the server answers {answer.status_code} {answer.reason_phrase}".rstrip()
        else:
            why = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise WeightsMissing(
            f"{remote.name} could not be fetched from {remote.url}: {why}.",
            f"Try again (what arrived is kept), or get it on another machine and put it into {folder}.",
        ) from error
