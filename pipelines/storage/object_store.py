"""An object store as a place for small and large objects, by any address that fsspec knows.

The only module that imports fsspec. Objects are never changed once they have a reader: whoever puts one first wins
(`If-None-Match: *` on S3). Credentials are those of the store's own environment variables and files.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

from pipelines.errors import BadInput, FolderUnusable
from pipelines.storage.names import quoted

_RETRY_SECONDS = 1.0
"""How long is waited between two tries at a store that does not answer."""
_OPTIONS: dict[str, dict[str, Any]] = {
    # The default of botocore is a minute for each of five tries; ours come after that.
    "s3": {"config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}}
}
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")
"""What stores call the time at which an object was written."""

_T = TypeVar("_T")


class StoreDown(OSError):
    """The store did not do what it was asked for: it may be away, or refuse us. `reason` names no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ObjectStore:
    """The objects below an address such as `s3://bucket/prefix`. Safe to use from several threads.

    `requests` counts what was asked for, by kind. All methods raise StoreDown.
    """

    def __init__(self, address: str) -> None:
        """Raises BadInput for an address that names no store that is installed, or that holds credentials."""
        self.address = address.rstrip("/")
        self.requests: Counter[str] = Counter()
        self.failed_at = float("-inf")
        """When a request failed last, by `time.monotonic`."""
        self._files, self._root = _opened(self.address)
        self._lock = threading.Lock()

    def put_new(self, key: str, data: bytes) -> bool:
        """Put an object and return True; False where there is one: one of several writers wins."""
        return self._ask("put", lambda: self._create(key, data))

    def claim(self, key: str, data: bytes) -> bool:
        """Put an object that only we write with these `data`; True also where an answer to that got lost."""
        return self.put_new(key, data) or self.get(key) == data

    def put(self, key: str, data: bytes) -> None:
        """Put an object in place of any that is there."""
        self._ask("put", lambda: self._files.pipe_file(self._path(key), data))

    def get(self, key: str) -> bytes | None:
        """Return an object; None where there is none."""

        def read() -> bytes | None:
            with suppress(FileNotFoundError):
                found: bytes = self._files.cat_file(self._path(key))
                return found
            return None

        return self._ask("get", read)

    def list(self, prefix: str) -> dict[str, float]:
        """Return the objects below `prefix`, by their names there, and when they were written by the store's clock."""

        def find() -> dict[str, float]:
            start = self._path(prefix)
            found = self._files.find(start, detail=True)
            return {path[len(start) + 1 :]: _written(info) for path, info in found.items()}

        return self._ask("list", find)

    def remove(self, key: str) -> None:
        """Remove an object; one that is gone is no error."""

        def remove() -> None:
            with suppress(FileNotFoundError):
                self._files.rm_file(self._path(key))

        self._ask("delete", remove)

    def remove_all(self, prefix: str) -> None:
        """Remove all objects below `prefix`, many with one request where the store has that."""
        paths = [self._path(f"{prefix}/{name}") for name in self.list(prefix)]

        def remove() -> None:
            with suppress(FileNotFoundError):  # others remove them too
                self._files.rm(paths)

        if paths:
            self._ask("delete", remove)

    def check(self, probe: str) -> None:
        """Make sure that the store keeps the first of two writers, with an object below the key `probe`.

        Raises FolderUnusable where it cannot be used, with what to do.
        """
        try:
            first, second = self.put_new(probe, b"1"), self.put_new(probe, b"2")
            kept = self.get(probe)
            self.remove(probe)
        except StoreDown as down:
            raise FolderUnusable(
                f"The store {self.address} cannot be used: {down.reason}.",
                "Check the address, the credentials and the network.",
                "store.unusable",
            ) from down
        if not first or second or kept != b"1":
            raise FolderUnusable(
                f"The store {self.address} does not keep the first of two writers (no conditional writes).",
                "Use a store that has them, such as Amazon S3, or a shared folder and --jobs-dir.",
                "store.unconditional",
            )

    def _create(self, key: str, data: bytes) -> bool:
        try:
            self._files.pipe_file(self._path(key), data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            # Some stores do not name the condition, which s3fs wants to see.
            response = getattr(error.__cause__, "response", None) or {}
            if response.get("Error", {}).get("Code") != "PreconditionFailed":
                raise
            return False
        return True

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _ask(self, kind: str, ask: Callable[[], _T]) -> _T:
        with self._lock:
            self.requests[kind] += 1
        try:
            return ask()
        except Exception as error:
            self.failed_at = time.monotonic()
            raise StoreDown(_reason(error)) from error


class Patience:
    """Tries again what a store does not do, until it does. `check` is called meanwhile and may raise.

    `tell` is called with the reason once for each time that the store is away.
    """

    def __init__(
        self,
        check: Callable[[], object],
        tell: Callable[[str], object],
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._check, self._tell, self._wait = check, tell, wait
        self._is_over = False

    def end(self) -> None:
        """Try everything once from now on."""
        self._is_over = True

    def __call__(self, ask: Callable[[], _T]) -> _T:
        """Return what `ask` returns, once it does."""
        told = ""
        while True:
            try:
                return ask()
            except StoreDown as down:
                if self._is_over:
                    raise
                if down.reason != told:
                    self._tell(told := down.reason)
            self._check()
            self._wait(_RETRY_SECONDS)


def check_address(address: str) -> None:
    """Raise BadInput for what is no address of a store, or has credentials in it: addresses are shown and logged."""
    protocol, mark, rest = address.partition("://")
    if "@" in rest or "?" in rest:
        raise BadInput(
            f"The address of the store {protocol}://... may hold no credentials or parameters.",
            "Give them by the store's own environment variables or files.",
            "store.address",
        )
    if not protocol or not mark or not rest:
        raise BadInput(
            f"{quoted(address)} is no address of a store.",
            "Give one such as s3://bucket/prefix.",
            "store.address",
        )


def _opened(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path that the address has there."""
    check_address(address)
    protocol = address.partition("://")[0]
    with _installed(protocol):
        import fsspec

        kind = fsspec.get_filesystem_class(protocol)
        if kind.pipe_file is fsspec.AbstractFileSystem.pipe_file and not hasattr(kind, "_pipe_file"):
            raise BadInput(
                f"{protocol}:// does not keep the first of two writers (no conditional writes).",
                "Use an object store such as s3://bucket/prefix, or a shared folder and --jobs-dir.",
                "store.unconditional",
            )
        options = _OPTIONS.get(protocol, {})
        files = kind(use_listings_cache=False, skip_instance_cache=True, **options)
    if hasattr(files, "retries"):
        files.retries = 1  # of s3fs, which waits longer each time and cannot be stopped meanwhile
    return files, str(files._strip_protocol(address)).rstrip("/")


@contextmanager
def _installed(protocol: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise BadInput(
            f"Nothing that is installed reads {protocol}://.",
            "Install the extra: pip install -r requirements-store.txt",
            "store.not_installed",
        ) from error
    except ValueError as error:  # what fsspec raises for a protocol that it does not know
        raise BadInput(
            f"There is no kind of store {protocol}://.", "Give s3://bucket/prefix.", "store.address"
        ) from error


def _reason(error: Exception) -> str:
    """Return what was wrong, in words of ours: those of libraries may quote addresses with keys in them."""
    match error:
        case PermissionError():
            return "it refuses the credentials"
        case FileNotFoundError():
            return "the bucket is missing"
        case _ if "Credential" in type(error).__name__:
            return "it finds no credentials"
        case TimeoutError():
            return "it does not answer"
        case _:
            return f"it cannot be reached ({type(error).__name__})"


def _written(info: dict[str, Any]) -> float:
    value = next((info[name] for name in _TIMES if info.get(name) is not None), 0.0)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else float(value)
