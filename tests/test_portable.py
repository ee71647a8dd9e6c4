"""The program starts where POSIX ends: without the modules and calls that Windows and macOS lack."""

import subprocess
import sys
from pathlib import Path

import pytest

from memory.probe import schedulable_cores

ROOT = Path(__file__).parents[1]

MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "curses", "readline")
CALLS = (
    *("sched_getaffinity", "getuid", "geteuid", "getgid", "killpg", "getpgid", "setsid", "fork", "nice"),
    *("statvfs", "sysconf", "uname", "getloadavg", "mkfifo", "chown", "posix_fadvise", "posix_fallocate"),
)

SCRIPT = f"""
import importlib, os, sys
# Other people's packages know the system that they run on, and may use what it has.
import filelock, gradio, psutil, torch
filelock.lock_descriptor
for name in {MODULES}:
    sys.modules[name] = None
for name in {CALLS}:
    if hasattr(os, name):
        delattr(os, name)
for name in ("app", "ui.page", "pipelines.__main__", "pipelines.workers.main"):
    importlib.import_module(name)
"""


def test_no_import_needs_posix() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_cores_are_counted_where_there_is_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    assert schedulable_cores() == 6
