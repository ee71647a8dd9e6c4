"""Uploads outlive the page's cache; a hostile file hurts only the process that looks at it."""

import asyncio
import hashlib
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from memory.units import MIB
from pipelines.errors import BadInput, LongtakeError, NotAVideo, OverLimit
from pipelines.jobs.inputs import InputFile
from pipelines.settings import AnimateSettings, ScoreSettings
from pipelines.storage import contents
from pipelines.video.probe import probe
from pipelines.workers.inspect import FacesQuestion, PlanQuestion, StillQuestion
from ui.jobs import uploads
from ui.jobs.hashing import fingerprint
from ui.jobs.uploads import (
    ask_process,
    example_clip,
    example_portrait,
    faces_of,
    hand_out,
    inspect_video,
    keep,
    marks,
    place_of_look,
    still,
)


def test_a_kept_upload_outlives_the_cache_and_costs_no_copy(tmp_path: Path) -> None:
    upload = tmp_path / "my clip.mp4"
    upload.write_bytes(b"video")
    kept = keep(upload, tmp_path / "jobs")
    assert kept.name == "my clip.mp4" and kept.is_relative_to(tmp_path / "jobs" / "uploads")
    assert kept.stat().st_ino == upload.stat().st_ino
    upload.unlink()
    assert kept.read_bytes() == b"video"


def test_where_there_can_be_no_link_the_upload_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    upload = tmp_path / "clip.mp4"
    upload.write_bytes(b"video")
    kept = keep(upload, tmp_path / "jobs")
    assert kept.read_bytes() == b"video" and kept.stat().st_ino != upload.stat().st_ino
    assert [path.name for path in kept.parent.iterdir()] == ["clip.mp4"]


def test_the_same_contents_are_kept_once_and_others_apart(tmp_path: Path) -> None:
    paths = []
    for folder, data in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / folder).mkdir()
        upload = tmp_path / folder / "clip.mp4"
        upload.write_bytes(data)
        paths.append(keep(upload, tmp_path / "jobs"))
    assert paths[0] == paths[1] != paths[2]
    assert [path.read_bytes() for path in paths] == [b"one", b"one", b"two"]


def test_contents_that_differ_in_the_middle_are_kept_apart(tmp_path: Path) -> None:
    kept = []
    for number in range(2):
        data = bytearray(5 * 2**20)
        data[len(data) // 2] = number
        (tmp_path / str(number)).mkdir()
        upload = tmp_path / str(number) / "clip.mp4"
        upload.write_bytes(data)
        kept.append(keep(upload, tmp_path / "jobs"))
        assert kept[-1].read_bytes() == data
        assert kept[-1].parent.name == hashlib.sha256(data).hexdigest()
    assert kept[0] != kept[1]


def test_what_lies_in_place_of_an_upload_is_not_believed(tmp_path: Path) -> None:
    upload = tmp_path / "clip.mp4"
    upload.write_bytes(b"one")
    kept = keep(upload, tmp_path / "jobs")
    kept.unlink()
    kept.write_bytes(b"two")
    assert keep(upload, tmp_path / "jobs") == kept and kept.read_bytes() == b"one"


def test_a_large_upload_is_read_once_from_its_arrival_to_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, read = tmp_path / "clip.mp4", []
    upload.write_bytes(os.urandom(9 * 2**20))
    real = contents._hash
    monkeypatch.setattr(contents, "_hash", lambda *given: read.append(1) or real(*given))
    known = asyncio.run(fingerprint(upload))
    kept = keep(upload, tmp_path / "jobs")
    assert InputFile.of(kept).fingerprint == InputFile.of(upload).fingerprint == known
    assert keep(upload, tmp_path / "jobs") == kept
    assert InputFile.of(kept).fingerprint == known and len(read) == 1


def look(path: Path, jobs_dir: Path, settings: ScoreSettings | None = None) -> object:
    return asyncio.run(inspect_video("score", [path], settings or ScoreSettings(), jobs_dir))


def instead(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `script` run in place of Python; its arguments are in `$@`."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def test_an_ordinary_clip_is_understood(clip: Path, tmp_path: Path) -> None:
    planned = asyncio.run(inspect_video("score", [clip], ScoreSettings(end=1.0), tmp_path / "jobs"))
    assert (planned.facts.frames, planned.facts.width, planned.facts.height) == (40, 160, 120)
    assert planned.frames == 25, "the settings are part of the question"
    assert planned.predicted_host_bytes > 0 and planned.preset_reason


def test_a_text_renamed_to_mp4_is_refused_by_name_without_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "fake.mp4"
    path.write_text("just words\n" * 100)
    with pytest.raises(NotAVideo) as told:
        look(path, tmp_path / "jobs")
    assert told.value.code == "not_a_video"
    assert "fake.mp4" in told.value.message and str(tmp_path) not in told.value.message


def test_the_whole_question_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(f"cat > {tmp_path}/question; exit 1", tmp_path, monkeypatch)
    settings = ScoreSettings(end=2.5, quality="draft", salvage=True)
    with pytest.raises(LongtakeError):
        look(tmp_path / "-clip.mp4", tmp_path / "jobs", settings)
    asked = PlanQuestion.model_validate_json((tmp_path / "question").read_text())
    assert (asked.task, asked.inputs, asked.jobs_dir) == (
        "score",
        (tmp_path / "-clip.mp4",),
        tmp_path / "jobs",
    )
    assert ScoreSettings.model_validate(asked.asked) == settings


def test_a_file_that_kills_the_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead("kill -SEGV $$", tmp_path, monkeypatch)
    with pytest.raises(NotAVideo, match="exit status -11"):
        look(tmp_path / "clip.mp4", tmp_path / "jobs")


def test_a_fault_of_ours_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead("echo Traceback >&2; exit 1", tmp_path, monkeypatch)
    with pytest.raises(LongtakeError) as told:
        look(tmp_path / "clip.mp4", tmp_path / "jobs")
    assert told.value.code == "internal"


def test_a_file_that_is_never_understood_is_given_up_and_its_process_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(f"echo $$ > {tmp_path}/pid; exec sleep 600", tmp_path, monkeypatch)
    monkeypatch.setattr(uploads, "INSPECT_SECONDS", 0.5)

    async def look_and_see() -> None:
        with pytest.raises(NotAVideo, match="could not be understood"):
            await inspect_video("score", [tmp_path / "clip.mp4"], ScoreSettings(), tmp_path / "jobs")

    asyncio.run(look_and_see())
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_takes_too_much_memory_is_refused_with_the_limit_and_all_its_processes_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = f"import os, sys; open('{tmp_path}/pid', 'w').write(str(os.getpid())); x = b'x' * 2**28; sys.stdin.read(); "
    (tmp_path / "fill.py").write_text(fill + "import time; time.sleep(600)")
    instead(f"{sys.executable} {tmp_path}/fill.py <&0; exit 1", tmp_path, monkeypatch)
    question = StillQuestion(path=tmp_path / "clip.mp4", frame=0, picture=tmp_path / "still.jpg")
    with pytest.raises(OverLimit, match=r"clip\.mp4 takes more than 0\.2 GiB"):
        asyncio.run(ask_process(question, 200 * MIB))
    until_gone(int((tmp_path / "pid").read_text()))


def until_gone(pid: int) -> None:
    for _ in range(600):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        threading.Event().wait(0.1)
    pytest.fail("it lives on")


def test_strokes_become_a_mask_file_and_wiped_ones_none(tmp_path: Path) -> None:
    def drawn(strokes: str) -> Path | None:
        return asyncio.run(marks(tmp_path / "clip.mp4", strokes, (64, 48), tmp_path / "marks", follow=False))

    path = drawn("8:20,24,40,24@3")
    assert path and np.asarray(Image.open(path))[24, 30] == 255
    assert drawn("8:20,24@3 !40:20,24@3") is None
    with pytest.raises(BadInput, match="no stroke"):
        drawn("8:20@3")


def test_an_upload_that_is_asked_for_again_is_young_again(tmp_path: Path) -> None:
    upload = tmp_path / "clip.mp4"
    upload.write_bytes(b"one")
    kept = keep(upload, tmp_path / "jobs")
    os.utime(kept, (1, 1))
    assert keep(upload, tmp_path / "jobs") == kept and kept.stat().st_atime > 1
    assert kept.stat().st_mtime == 1, "nothing was written"


def test_a_result_is_handed_out_once_and_anew_when_it_has_changed(tmp_path: Path) -> None:
    result = tmp_path / "report.json"
    result.write_text("one")
    first = hand_out(result, tmp_path / "cache", "key")
    assert hand_out(result, tmp_path / "cache", "key") == first
    assert hand_out(result, tmp_path / "cache", "another") != first, (
        "the place is not guessed without the key"
    )
    result.unlink()
    result.write_text("two")
    os.utime(result, (1, 1))
    second = hand_out(result, tmp_path / "cache", "key")
    assert (Path(first).read_text(), Path(second).read_text()) == ("one", "two")
    with pytest.raises(FileNotFoundError):
        hand_out(tmp_path / "gone", tmp_path / "cache", "key")


def test_the_example_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = f'echo drawn >> {tmp_path}/log; mkdir -p {tmp_path}/jobs/example; echo clip > "$5"'
    instead(draw, tmp_path, monkeypatch)
    first = asyncio.run(example_clip(tmp_path / "jobs"))
    assert asyncio.run(example_clip(tmp_path / "jobs")) == first and first.read_text() == "clip\n"
    assert (tmp_path / "log").read_text() == "drawn\n"


def test_an_example_that_cannot_be_drawn_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead("echo no ink >&2; exit 3", tmp_path, monkeypatch)
    with pytest.raises(LongtakeError, match="no ink"):
        asyncio.run(example_clip(tmp_path / "jobs"))


def test_a_frame_is_shown_as_a_picture_once_made(clip: Path, tmp_path: Path) -> None:
    picture = asyncio.run(still(clip, 7, tmp_path / "cache"))
    assert Image.open(picture).size == (160, 120)
    made = picture.stat().st_mtime_ns
    assert asyncio.run(still(clip, 7, tmp_path / "cache")) == picture and picture.stat().st_mtime_ns == made


def test_a_look_lies_by_the_hashes_of_what_it_shows_and_is_new_when_it_is_asked_for(tmp_path: Path) -> None:
    place = place_of_look(tmp_path, "faces", ["a" * 64, "b" * 64], "one.jpg")
    assert place == tmp_path / "faces" / f"{'a' * 64}-{'b' * 64}" / "one.jpg"
    place.parent.mkdir(parents=True)
    os.utime(place.parent, (1, 1))
    assert place_of_look(tmp_path, "faces", ["a" * 64, "b" * 64], "one.jpg") == place
    assert place.parent.stat().st_mtime > 1


def test_a_frame_that_is_not_there_is_refused_with_both_numbers(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no frame 40: the video has 40"):
        asyncio.run(still(clip, 40, tmp_path / "cache"))


def test_faces_are_looked_at_once_for_a_question(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("portrait.png", "driving.mp4")]
    for path in files:
        path.write_bytes(path.name.encode())
    asked: list[Path] = []

    async def ask(question: FacesQuestion) -> None:
        asked.append(question.picture)
        question.picture.parent.mkdir(parents=True, exist_ok=True)
        question.picture.touch()
        question.picture.with_suffix(".json").write_text('{"places": [{"number": 1}], "missing": []}')

    def look(**settings: Any) -> Path:
        found = asyncio.run(faces_of(files, AnimateSettings(**settings), tmp_path / "cache", ask=ask))
        assert found[1] == {"places": [{"number": 1}], "missing": []}
        return found[0]

    assert look() == look() == asked[0]
    assert look(face="all") == asked[1] != asked[0]
    files[1].write_bytes(b"another")
    assert look() == asked[2]


def test_the_example_of_a_portrait_is_drawn_once(tmp_path: Path) -> None:
    portrait, driving = asyncio.run(example_portrait(tmp_path))
    young = driving.stat().st_mtime_ns
    with Image.open(portrait) as picture:
        assert picture.size == (512, 512)
    assert asyncio.run(example_portrait(tmp_path)) == (portrait, driving)
    assert driving.stat().st_mtime_ns == young
    video = probe(driving)
    assert (video.frames, video.width, video.height) == (100, 256, 256) and video.audio
