"""Text from outside: names, ids and hints that are long, of several lines, of no script, or full of markup."""

import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.attack.blackbox import Raw, Server, clip, main, served, until
from tests.attack.keys import visitors

_LONG = re.compile(r"[^\s/\"'{}\[\],:]{90,}")
"""A run that is longer than a message may quote."""


def _quiet(server: Server, since: int, answer: Any) -> None:
    """Nothing long came back or went into the log, on one line each, without a traceback and paths of the server."""
    told = json.dumps(answer, ensure_ascii=False).replace("\\\\", "\\")
    assert not _LONG.search(told) and len(told) < 8000, told[:500]
    log = server.log.read_bytes()[since:].decode(errors="replace")
    assert not _LONG.search(log) and "Traceback" not in log and len(log) < 8000, log[:800]
    assert "INJECTED" not in [line.split(" ")[0] for line in log.splitlines()], log


def _texts() -> Iterator[str]:
    for unit in ("A", "é", "字", "<b>", "\u202e", "\ud801", "\x00", "%s", "\\"):
        yield unit * 3000
    yield "x\nINJECTED WARNING all is well\r\nINJECTED" + "y" * 300
    yield "B" * 1_500_000


def attack_with_texts_as_ids_tasks_and_hints(out: Path) -> None:
    """A text from outside is quoted in 80 characters, wherever it was put, and never starts a line of the log."""
    server = served(out)
    visitor = Raw(server)
    film = visitor.uploaded("small.mp4", clip(out / "small.mp4").read_bytes())
    for number, text in enumerate(_texts()):
        asked = [
            ("job", {"job": text, "key": text, "follow": False}),
            ("submit", {"file": film, "task": text}),
            ("submit", {"file": film, "task": "score", "engine": text}),
            ("inpaint", {"file": film, "box": f"3,3,9,9@{text}"}),
            ("score", {"file": film, "device": text, "start": text}),
            ("inspect", {"file": {**film, "path": text}}),
            ("inspect", {"file": f"http://{text}"}),
        ]
        for endpoint, values in asked if number < 2 else asked[number % 2 :: 2]:
            since = server.log.stat().st_size
            kind, data = visitor.answer(endpoint, **values)
            assert kind in ("error", "http"), (endpoint, ascii(text[:20]), data)
            assert kind == "http" or data["error"].endswith("]"), data
            _quiet(server, since, data)


def attack_with_the_name_of_a_film(out: Path) -> None:
    """A long name of a film is shortened in statuses, lists and errors; markup in it stays text."""
    server, visitor, _ = visitors(out)
    film = clip(out / "named.mp4").read_bytes()
    for stem in ["<img src=x onerror=alert(1)>" + "m" * 150]:
        since = server.log.stat().st_size
        sent = visitor.uploaded(f"{stem}.mp4", film)
        broken = visitor.answer("inspect", file=visitor.uploaded(f"{stem}.mp4", film[:700]))
        assert broken[0] == "error" and "[" in broken[1]["error"]
        told = [broken, visitor.answer("inspect", file=sent)]
        kind, data = visitor.answer("submit", file=sent, task="score", quality="draft", end="0.2")
        assert kind == "complete", data
        told += [data, visitor.answer("jobs")]
        assert 0 < len(data[0]["name"]) <= 80
        _quiet(server, since, told)


def attack_with_the_names_in_an_archive(out: Path) -> None:
    """A job that fails at the name of a member of an archive says so in 80 characters, without paths of the server."""
    server, visitor, _ = visitors(out)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../" + "q" * 4000 + ".png", b"no picture")
    film = visitor.uploaded("film.mp4", clip(out / "film.mp4").read_bytes())
    masks = visitor.uploaded("p" * 150 + ".zip", packed.getvalue())
    since = server.log.stat().st_size
    kind, data = visitor.answer("submit", file=film, mask=masks, task="inpaint", quality="draft")
    told: list[Any] = [data]
    if kind == "complete":
        job = data[0]["job"]

        def ended() -> bool:
            told.append(visitor.answer("job", job=job, key="", follow=False))
            return told[-1][1][0]["state"] not in ("queued", "running")

        until(ended)
        assert told[-1][1][0]["state"] == "failed", told[-1]
        told = [told[-1], visitor.answer("job", job=job, key="", follow=True)]
        assert told[-1][0] == "error"
    words = json.dumps(told)
    assert str(server.jobs) not in words and "uploads" not in words and "its name leads outside" in words, (
        words
    )
    _quiet(server, since, told)


if __name__ == "__main__":
    sys.exit(main(globals()))
