"""Mask images in an untrusted zip, read one at a time in natural order without writing to disk.

A member's name, kind, method and declared size are checked before it is decompressed, and no more than its declared
size is read. Only stored and deflated members are read: other methods need dictionaries, or reach ratios, without
bound.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from pipelines.errors import BadInput, DamagedVideo, OverLimit
from pipelines.storage.names import quoted, shortened
from pipelines.storage.video_folders import natural_key
from pipelines.video.pictures.picture import SUFFIXES

_LISTING_BYTES, _LISTING_BYTES_A_FRAME = 2**16, 512
"""Limit of the central directory: a fixed part, and room for a few entries per frame of the video."""
_ENCODED_BYTES, _BYTES_A_PIXEL = 2**16, 8
"""Limit of a member: a fixed part for headers, and 16-bit RGBA without compression."""
_PIECE_BYTES = 2**15
"""Bytes read at once; less than the central directory may have, as members are read through the same bounded file."""
_HEAD_BYTES = 2**16
"""Start of an image that is read for its size."""
_ENCRYPTED = 1
"""Bit of a member's flags."""
_ARCHIVES = frozenset({".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"})
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNZIPPABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, IndexError, KeyError, ValueError, OverflowError),
)
"""What `zipfile` raises for damaged archives; encrypted and newer ones are among them."""


class Archive:
    """The images of the zip at `path`, as masks for a video of `frames` frames.

    Holds the central directory: a few hundred bytes per member, and a few members per frame at most.

    Raises:
        BadInput: not a zip, no images, names that lead outside, links, encrypted members or nested archives.
        OverLimit: too many or too large members.
    """

    def __init__(self, path: Path, frames: int, max_pixels: int) -> None:
        self.path = path
        self._listing_bytes = _LISTING_BYTES + _LISTING_BYTES_A_FRAME * frames
        self._member_bytes = _ENCODED_BYTES + _BYTES_A_PIXEL * max_pixels
        with self._open() as file:
            images = [member for member in file.infolist() if self._is_mask(member)]
        if not images:
            raise BadInput(
                f"{path} holds no images.",
                "A zip of masks holds a PNG for each frame.",
                "mask.no_images",
                name=path.name,
            )
        self._members = sorted(images, key=lambda member: natural_key(member.filename))

    @property
    def names(self) -> list[str]:
        """File names of the images, in natural order."""
        return [member.filename for member in self._members]

    @property
    def stamp(self) -> int:
        """A number that changes when the archive is written again."""
        found = self.path.stat()
        return hash((found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino))

    def files(self, members: Iterable[int]) -> Generator[tuple[str, io.BytesIO]]:
        """Yield name and content of each of `members`. Holds one. Raises DamagedVideo, OverLimit."""
        with self._open() as file:
            for index in members:
                member = self._members[index]
                yield f"{self.path} ({shortened(member.filename)})", self._content(file, member)

    def heads(self) -> Generator[tuple[io.BytesIO, int]]:
        """Yield the first bytes of each image, where its size stands, and its bytes as a file. Raises DamagedVideo."""
        with self._open() as file:
            for member in self._members:
                yield self._content(file, member, _HEAD_BYTES), member.file_size

    @contextmanager
    def _open(self) -> Generator[zipfile.ZipFile]:
        with ExitStack() as stack:
            try:
                raw = stack.enter_context(_BoundedFile(self.path, self._listing_bytes))
                file = stack.enter_context(zipfile.ZipFile(raw))
            except _UNZIPPABLE as error:
                raise BadInput(
                    f"{self.path} is not a readable zip ({shortened(str(error))}).",
                    "Pack the masks again, or give their folder.",
                    "zip.damaged",
                    name=self.path.name,
                ) from error
            yield file

    def _is_mask(self, member: zipfile.ZipInfo) -> bool:
        """Whether `member` is a mask. Raises BadInput, OverLimit for what no zip of masks contains."""
        name = member.filename
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if windows.anchor or ".." in windows.parts:
            raise self._refusal(name, "its name leads outside the archive")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise self._refusal(name, "it is a link")
        if posix.suffix.lower() in _ARCHIVES:
            raise self._refusal(name, "it is an archive itself")
        litter = posix.name.startswith(".") or "__MACOSX" in posix.parts
        if member.is_dir() or litter or posix.suffix.lower() not in SUFFIXES:
            return False
        if member.flag_bits & _ENCRYPTED:
            raise self._refusal(name, "it is encrypted")
        if member.compress_type not in _METHODS:
            raise self._refusal(name, "it is compressed by a method other than deflate")
        if member.file_size > self._member_bytes:
            raise OverLimit(
                f"{shortened(name)} in {self.path} unpacks to {member.file_size} bytes; "
                f"up to {self._member_bytes} are read.",
                "Give masks of the size of the video.",
                "mask.huge",
                name=shortened(name),
            )
        return True

    def _content(
        self, file: zipfile.ZipFile, member: zipfile.ZipInfo, most_bytes: int | None = None
    ) -> io.BytesIO:
        """Unpack `member`, or about `most_bytes` of it; never more than its declared size, which was checked."""
        content = io.BytesIO()
        try:
            with file.open(member) as packed:
                while piece := packed.read(_PIECE_BYTES):
                    content.write(piece)
                    if most_bytes is not None and content.tell() >= most_bytes:
                        break
        except _UNZIPPABLE as error:
            raise DamagedVideo(
                f"{shortened(member.filename)} in {self.path} is damaged ({shortened(str(error))}).",
                "Pack the masks again.",
                "zip.damaged",
                name=self.path.name,
            ) from error
        content.seek(0)
        return content

    def _refusal(self, name: str, why: str) -> BadInput:
        return BadInput(
            f"{self.path} is refused because of its member {quoted(name)}: {why}.",
            "Pack only the masks, as plain files.",
            "zip.refused",
            name=self.path.name,
        )


class _BoundedFile(io.FileIO):
    """A file that refuses large reads: `zipfile` reads the central directory whole, however large it claims to be."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        super().__init__(path)
        self._path = path
        self._most_bytes = most_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._most_bytes:
            raise OverLimit(
                f"{self._path} lists far more members than the video has frames.",
                "A zip of masks holds one image, or one for each frame.",
                "zip.many",
                name=self._path.name,
            )
        return super().read(size) or b""
