"""A stand-in for a container: the machine's libraries, this Python and the image's files below a root of their own.

No image can be built without a daemon, so the commands of the Dockerfile run in namespaces of their own: without a
network, as the image's user, below a root that nobody can write to except at /jobs, /weights and /tmp.

Run as a program, this makes such a root (it must be root, in a mount namespace that is already its own) and becomes
the command: `python container.py SPEC`, with the fields of `Spec` as JSON.
"""

import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

SYSTEM = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
_BIND, _RECURSIVE, _REMOUNT, _READ_ONLY = 4096, 16384, 32, 1
_FLAGS_OF_LINK, _LINK_IS_UP = 0x8914, 0x41


@dataclass(frozen=True)
class Spec:
    """A container: which paths of the machine are where, which of them can be written, and what runs as whom."""

    mounts: dict[str, str]
    writable: list[str]
    environ: dict[str, str]
    folder: str
    command: list[str]
    user: int


def why_not() -> str:
    """The reason why there can be no containers here; empty if there can."""
    if not sys.platform.startswith("linux"):
        return "namespaces are a thing of Linux"
    if os.geteuid() != 0:
        return "only root makes a root of its own"
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        return "util-linux is not installed"
    script = "mount -t tmpfs none /mnt"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", script], capture_output=True, text=True
    )
    return "" if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


def start(spec: Spec, log: Path) -> subprocess.Popen[bytes]:
    """Start the command of `spec`; what it says goes to `log`."""
    inside = [sys.executable, "-I", __file__, json.dumps(asdict(spec))]
    with log.open("ab") as words:
        return subprocess.Popen(["unshare", "--mount", "--net", *inside], stdout=words, stderr=words)


def run_in(spec: Spec, process: subprocess.Popen[bytes], *command: str) -> subprocess.CompletedProcess[str]:
    """Run another command in the container of `process`, as `docker exec` does."""
    user = f"{spec.user}"
    enter = ["nsenter", f"--target={process.pid}", "--mount", "--net", "--root", f"--wdns={spec.folder}"]
    enter += [f"--setgid={user}", f"--setuid={user}", "env", "-i"]
    environ = [f"{name}={value}" for name, value in spec.environ.items()]
    return subprocess.run([*enter, *environ, *command], capture_output=True, text=True, timeout=90)


# -- inside --------------------------------------------------------------------------------------------------


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    words = (word.encode() for word in (source, target, kind))
    if ctypes.CDLL(None, use_errno=True).mount(*words, ctypes.c_ulong(flags), data.encode()):
        raise OSError(ctypes.get_errno(), f"mount {source} at {target}")


def _bind(source: Path, target: Path, *, read_only: bool) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(str(source), str(target), "", _BIND | _RECURSIVE)
    if read_only:
        _mount("", str(target), "", _BIND | _REMOUNT | _READ_ONLY)


def _enter(spec: Spec) -> None:
    os.umask(0o022)
    _mount("none", "/", "", _RECURSIVE | 1 << 18)  # nothing that is mounted here is seen outside
    root = Path(tempfile.mkdtemp())
    _mount("none", str(root), "tmpfs", 0, "mode=755")
    for name in SYSTEM:
        there = Path("/", name)
        if there.is_symlink():
            (root / name).symlink_to(there.readlink())
        elif there.exists():
            _bind(there, root / name, read_only=True)
    for name in ("proc", "dev", "sys"):
        _bind(Path("/", name), root / name, read_only=False)
    for target, source in spec.mounts.items():
        _bind(Path(source), root / target.lstrip("/"), read_only=target not in spec.writable)
    for name in ("tmp", "dev/shm"):
        (root / name).mkdir(exist_ok=True)
        _mount("none", str(root / name), "tmpfs", 0, "mode=1777,size=256m" if name == "tmp" else "mode=755")
    _mount("", str(root), "", _REMOUNT | _READ_ONLY)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _FLAGS_OF_LINK, struct.pack("16sH14s", b"lo", _LINK_IS_UP, b""))
    os.chroot(root)
    os.chdir(spec.folder)
    os.setgroups([])
    os.setgid(spec.user)
    os.setuid(spec.user)
    os.execvpe(spec.command[0], spec.command, spec.environ)


if __name__ == "__main__":
    _enter(Spec(**json.loads(sys.argv[1])))
