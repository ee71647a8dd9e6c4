"""What a job's files are called when they are downloaded, and all of them as a zip, which is made while it is sent."""

import hmac
import io
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from memory.units import MIB
from pipelines.errors import BadInput, NoSuchJob
from pipelines.jobs.events import Done
from pipelines.jobs.job import Job
from pipelines.jobs.record import JobRecord
from pipelines.spec import task_spec
from pipelines.storage.names import printable
from ui.i18n.refusals import Refusal
from ui.jobs.kind import kind_of
from ui.server.visitors import Keys

_MOST_STEM_BYTES = 120
"""Of a download's name before what is added: file systems take names of 255 bytes."""
_CHUNK_BYTES = MIB
_REFUSED = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u2028-\u202e\u2066-\u2069\ud800-\udfff]')
"""Characters that some system takes in no name, and those that turn the direction of a text."""
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
PATH = "/gradio_api/download"


def names(record: JobRecord, files: Sequence[Path], result: Path | None) -> dict[Path, str]:
    """What each of a job's files is called: `clip_removed.mp4` for the result, `clip_report.json` for the others."""
    stem = safe_stem(record.inputs[0].path.name)
    return {path: f"{stem}_{_word(record, path, result)}{path.suffix}" for path in files}


def _word(record: JobRecord, path: Path, result: Path | None) -> str:
    if path != result:
        return path.stem
    try:
        done = task_spec(record.task).done(record.settings)
    except BadInput:  # settings of another version
        done = "result"
    return f"{done}_preview" if kind_of(record) == "preview" else done


def record_name(record: JobRecord) -> str:
    """The name of a job's own `job.json`: `bmx-trees_job.json`."""
    return f"{safe_stem(record.inputs[0].path.name)}_job.json"


def safe_stem(name: str) -> str:
    """The name of a file without its suffix, as every system takes it: no separators, no controls, not too long."""
    stem = _REFUSED.sub("_", unicodedata.normalize("NFC", printable(Path(name).stem))).strip(" .")
    return stem.encode()[:_MOST_STEM_BYTES].decode(errors="ignore").strip(" .") or "video"


def disposition(name: str) -> str:
    """The header that makes a browser save an answer as `name` (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def zipped(files: Mapping[Path, str]) -> Iterator[bytes]:
    """Yield a zip of `files` by their names, nothing compressed. Holds one MiB; raises OSError where one is gone."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for path, name in files.items():
            entry = zipfile.ZipInfo(name, _FIXED_DATE)
            entry.external_attr = 0o644 << 16
            with path.open("rb") as file, archive.open(entry, "w", force_zip64=True) as member:
                while chunk := file.read(_CHUNK_BYTES):
                    member.write(chunk)
                    yield pipe.taken()
    yield pipe.taken()


class _Pipe(io.RawIOBase):
    """A file that can only be written to and keeps what has not been taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def address(job: Job, files_key: str) -> str:
    """The relative URL of the zip of a job's files; `files_key` is what also their own addresses begin with."""
    return f"{PATH[1:]}/{job.id}/{files_key}"


def route(jobs_dir: Path, keys: Keys) -> Route:
    """The route that answers with a zip of a job's files to whoever has the address of one of them.

    Nothing is written: the zip is made as it is read.
    """
    return Route(PATH + "/{job}/{key}", _answering(lambda id: Job.find(jobs_dir, id), keys.files))


def _answering(find: Callable[[str], Job], key_of: Callable[[Job], str]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        given = request.path_params["key"].encode(errors="replace")
        try:
            job = find(request.path_params["job"])
            if not hmac.compare_digest(key_of(job).encode(), given):
                raise NoSuchJob("", "", "job.gone")
            last, record = job.journal.last_state(), job.record()
            if not isinstance(last, Done):
                raise NoSuchJob("", "", "job.gone")
        except (NoSuchJob, BadInput):
            return PlainTextResponse(Refusal("files.gone").to(request.headers), 404)
        result = last.outputs.result
        files = {
            path: name for path, name in names(record, last.outputs.paths(), result).items() if path.exists()
        }
        name = f"{safe_stem(record.inputs[0].path.name)}_{_word(record, result, result) if result else 'files'}.zip"
        headers = {"Content-Disposition": disposition(name), "Cache-Control": "no-store"}
        return StreamingResponse(zipped(files), media_type="application/zip", headers=headers)

    return answer
