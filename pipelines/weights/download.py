"""One file over HTTP: what was interrupted goes on where it was, what arrives is checked, the file is whole or absent.

Until then it is called `NAME.part`; `NAME.part.tag` says which version of the file that is part of.
"""

import errno
import hashlib
import http.client
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from filelock import lock_descriptor

from memory.units import MIB
from pipelines.errors import BadInput, LongtakeError, NotEnoughDisk, WeightsBroken, WeightsMissing

Tell = Callable[[str, int, int | None], None]
"""Is told how far a file is: its name, bytes that are there, bytes in all where the server says so."""

_CHUNK_BYTES = MIB
_TIMEOUT_SECONDS = 30.0
_TRIES = 5
_PAUSE_SECONDS = 1.0
_SPARE_BYTES = 2**26
_LOST = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)
_HEADERS = {"User-Agent": "longtake", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: from where, to which place below a folder, and what is known of it beforehand.

    `sure`: another size or hash is a reason to refuse the file, not just to warn.
    """

    path: str
    url: str
    size_bytes: int | None = None
    sha256: str | None = None
    sure: bool = True

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return PurePosixPath(self.path).name


def download(wanted: Wanted, target: Path, tell: Tell) -> str:
    """Fetch one file to `target`; returns a warning where it is not equal to the copies that are known, or nothing.

    Holds a piece of it. Raises WeightsMissing where it cannot be had (what arrived is kept, and used by the next
    call), WeightsBroken where it is not what was published, NotEnoughDisk, BadInput for a folder that takes no file.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            _claim(file, target)
            _receive(wanted, file, part, tell)
            os.fsync(file.fileno())
            warning = _check(wanted, part)
            part.replace(target)
        _tag(part).unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NotEnoughDisk(
                f"The disk is full ({error}).", "What arrived is kept; make room and fetch again."
            ) from error
        raise BadInput(
            f"{target.name} cannot be kept in {target.parent}: {error.strerror or error}.",
            "Choose another folder with --weights.",
        ) from error
    return warning


def _claim(file: BinaryIO, target: Path) -> None:
    if not lock_descriptor(file.fileno(), blocking=False):
        raise LongtakeError(
            f"Another process is fetching {target.name} into {target.parent}.", "Wait until it has ended."
        )


def _receive(wanted: Wanted, file: BinaryIO, part: Path, tell: Tell) -> None:
    """Append what is missing, over as many connections as it takes; gives up after some that brought nothing."""
    idle = 0
    while True:
        before = file.seek(0, os.SEEK_END)
        try:
            _continue(wanted, file, part, tell)
            return
        except _LOST as error:
            idle = 0 if file.seek(0, os.SEEK_END) > before else idle + 1
            if idle >= _TRIES or _is_final(error):
                if not file.tell():
                    part.unlink()
                raise _unreachable(wanted, part.parent, error) from error
            time.sleep(_PAUSE_SECONDS * idle)


def _continue(wanted: Wanted, file: BinaryIO, part: Path, tell: Tell) -> None:
    """One connection: the rest of the file, or all of it where the server will not go on. Raises what `_LOST` names."""
    have = file.seek(0, os.SEEK_END)
    try:
        response = _ask(wanted.url, have, _tag(part))
    except urllib.error.HTTPError as error:
        if not have or error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return  # all of it had arrived
        file.truncate(0)
        _continue(wanted, file, part, tell)
        return
    with response:
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise http.client.HTTPException("the server sent another part than was asked for")
        else:
            file.truncate(0)
            have = 0
            _remember(_tag(part), response.headers.get("ETag", ""))
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        _check_size(wanted, total, have, part)
        _copy(response, file, have, total, lambda done: tell(wanted.name, done, total))


def _ask(url: str, have: int, tag: Path) -> Any:
    headers = dict(_HEADERS)
    if have:
        headers["Range"] = f"bytes={have}-"
        with suppress(OSError):
            headers["If-Range"] = tag.read_text()
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_SECONDS)


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _remember(tag: Path, version: str) -> None:
    # A weak tag does not promise equal bytes.
    if version.startswith('"'):
        tag.write_text(version)
    else:
        tag.unlink(missing_ok=True)


def _copy(response: Any, file: BinaryIO, have: int, total: int | None, tell: Callable[[int], None]) -> None:
    while chunk := response.read(_CHUNK_BYTES):
        file.write(chunk)
        have += len(chunk)
        tell(have)
    file.flush()
    if total is not None and have < total:
        raise http.client.IncompleteRead(b"", total - have)


def _check_size(wanted: Wanted, total: int | None, have: int, part: Path) -> None:
    """Before anything is received: is it as long as what was published, and is there room for it?"""
    if total is None:
        return
    if wanted.sure and wanted.size_bytes not in (None, total):
        part.unlink(missing_ok=True)
        raise WeightsBroken(
            f"{wanted.url} has {total:,} bytes, the published {wanted.name} {wanted.size_bytes:,}.",
            "It may have been replaced there; get the file elsewhere and give its folder with --weights.",
        )
    free = shutil.disk_usage(part.parent).free
    if total - have > free - _SPARE_BYTES:
        raise NotEnoughDisk(
            f"{wanted.name} needs {(total - have) / 1e9:.1f} GB more, {free / 1e9:.1f} GB are free in {part.parent}.",
            "Make room or choose another folder with --weights.",
        )


def _check(wanted: Wanted, part: Path) -> str:
    """Hold what arrived against the published hash. Raises WeightsBroken; a hash that is not sure only warns."""
    if wanted.sha256 is None:
        return ""
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found == wanted.sha256:
        return ""
    if not wanted.sure:
        return (
            f"{wanted.name} is not equal to the copies of it that are known (sha256 {found[:12]}… instead of "
            f"{wanted.sha256[:12]}…); the release's own hash is not published."
        )
    part.unlink()
    _tag(part).unlink(missing_ok=True)
    raise WeightsBroken(
        f"What arrived from {wanted.url} is not the published {wanted.name}: its sha256 is {found[:12]}…, not "
        f"{wanted.sha256[:12]}….",
        "It was thrown away; fetch it again.",
    )


def _is_final(error: Exception) -> bool:
    """Whether asking again is of no use: a refusal, not a server that is busy."""
    return (
        isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 425, 429)
    )


def _unreachable(wanted: Wanted, folder: Path, error: Exception) -> WeightsMissing:
    if isinstance(error, urllib.error.HTTPError):
        why = f"the server answers {error.code} {error.reason}"
    else:
        why = str(getattr(error, "reason", error) or type(error).__name__)
    return WeightsMissing(
        f"{wanted.name} could not be fetched from {wanted.url}: {why}.",
        f"Try again (what arrived is kept), or get it on another machine and put it into {folder}.",
    )
