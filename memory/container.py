"""Memory limits that a container sets on its processes: Linux control groups, version 1 and 2.

Processes in a container see the whole machine in `/proc/meminfo`, but are killed at the limit of their group or of any
group above it. Files are read below `root`, so that tests can simulate any machine by a folder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_NO_LIMIT_BYTES = 1 << 60
"""Version 1 writes "no limit" as the largest multiple of a page; no machine has an exbibyte."""


@dataclass(frozen=True)
class Limit:
    """The limit of a group and its usage, without the file cache that the kernel would reclaim."""

    limit_bytes: int
    used_bytes: int

    @property
    def available_bytes(self) -> int:
        """What may still be allocated."""
        return max(0, self.limit_bytes - self.used_bytes)


@dataclass(frozen=True)
class _Names:
    """File names of one version of control groups."""

    limits: tuple[str, ...]
    used: str
    cache: tuple[str, ...]


_V1 = _Names(("memory.limit_in_bytes",), "memory.usage_in_bytes", ("total_inactive_file", "inactive_file"))
# Above memory.high a process is throttled to a near standstill, so it counts as a limit.
_V2 = _Names(("memory.max", "memory.high"), "memory.current", ("inactive_file",))


def find_limits(root: Path = Path("/")) -> tuple[Limit, ...]:
    """All limits on this process, its own group's first, then those of the groups above it.

    Never raises: a missing or unreadable file sets no limit.
    """
    groups = _own_groups(root)
    found = []
    for names, mount, mounted_group in _mounts(root):
        group = groups.get(names is _V2)
        if group is not None:
            for folder in _path_up(mount, _below(group, mounted_group)):
                limit = _read_limit(folder, names)
                if limit is not None:
                    found.append(limit)
    return tuple(found)


def _own_groups(root: Path) -> dict[bool, str]:
    """This process's memory groups by version: key True is version 2, False version 1."""
    groups = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            groups[True] = group
        elif "memory" in controllers.split(","):
            groups[False] = group
    return groups


def _mounts(root: Path) -> Iterator[tuple[_Names, Path, str]]:
    """Where groups are mounted and which group is the root there: a container sees only a part of the tree."""
    for line in _text(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        mount = root / fields[4].lstrip("/")
        if kind[0] == "cgroup2":
            yield _V2, mount, fields[3]
        elif kind[0] == "cgroup" and "memory" in kind[2].split(","):
            yield _V1, mount, fields[3]


def _below(group: str, top: str) -> PurePosixPath:
    """`group` relative to `top`; the top itself where the group lies outside (in its own namespace)."""
    path = PurePosixPath(group)
    if ".." in path.parts or not path.is_relative_to(top):
        return PurePosixPath(".")
    return path.relative_to(top)


def _path_up(mount: Path, group: PurePosixPath) -> Iterator[Path]:
    for part in (group, *group.parents):
        yield mount / part


def _read_limit(folder: Path, names: _Names) -> Limit | None:
    limits = [_bytes(folder / name) for name in names.limits]
    set_limits = [limit for limit in limits if limit is not None and limit < _NO_LIMIT_BYTES]
    if not set_limits:
        return None
    used = _bytes(folder / names.used) or 0
    return Limit(min(set_limits), max(0, used - _cache_bytes(folder / "memory.stat", names.cache)))


def _cache_bytes(stat: Path, keys: tuple[str, ...]) -> int:
    """Inactive file cache: counted as used by the group, reclaimed under pressure."""
    rows = dict(line.split(maxsplit=1) for line in _text(stat).splitlines() if " " in line)
    return next((int(rows[key]) for key in keys if rows.get(key, "").isdigit()), 0)


def _bytes(path: Path) -> int | None:
    """The number in a file; None for `max` and anything else that is no number."""
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
