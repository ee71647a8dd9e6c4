import os
import socket
from pathlib import Path

import pytest

from pipelines.errors import NotAVideo
from pipelines.jobs.inputs import InputFile
from pipelines.storage.special_files import reject_special, special_kind


def test_files_folders_and_what_is_missing_are_no_special_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "circle").symlink_to("circle")
    assert [special_kind(path) for path in (tmp_path, *tmp_path.iterdir(), tmp_path / "none")] == [None] * 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a POSIX matter")
def test_each_kind_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        for name, kind in (("pipe", "a pipe"), ("socket", "a socket"), ("/dev/null", "a device")):
            with pytest.raises(NotAVideo, match=f"{name} is {kind}, not a file"):
                reject_special(Path(name))
            with pytest.raises(NotAVideo, match=kind):
                InputFile.of(Path(name))
