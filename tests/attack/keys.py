"""What a job's keys, its id and the addresses of its results open, and for whom."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.attack.blackbox import Raw, Server, clip, main, served, until

_USERS = ("--auth", "olga:first-word", "--auth", "pavel:second-word")
_ACTIONS = ("pause", "cancel", "resume", "delete")


def visitors(out: Path) -> tuple[Server, Raw, Raw]:
    """A server with a login, and its two users."""
    server = served(out, *_USERS)
    olga, pavel = Raw(server), Raw(server)
    assert olga.login("olga", "first-word") == pavel.login("pavel", "second-word") == 200
    return server, olga, pavel


def _job(olga: Raw, out: Path, **settings: Any) -> dict[str, Any]:
    """A finished job of hers; each caller asks for another end."""
    film = olga.uploaded("holiday.mp4", clip(out / "holiday.mp4").read_bytes())
    kind, told = olga.answer("submit", file=film, task="score", quality="draft", **settings)
    assert kind == "complete", told
    status: dict[str, Any] = told[0]
    until(lambda: _look(olga, status["job"])[1][0]["state"] == "done")
    return status


def _look(visitor: Raw, job: Any, key: Any = "") -> tuple[str, Any]:
    return visitor.answer("job", job=job, key=key, follow=False)


def _words(answer: tuple[str, Any]) -> str:
    kind, data = answer
    assert kind == "error", answer
    return str(data["error"])


def attack_with_the_address_of_a_result(out: Path) -> None:
    """No part of the address of any result opens the job or acts on it."""
    _, olga, pavel = visitors(out)
    status = _job(olga, out, end="0.4")
    kind, data = _look(olga, status["job"])
    addresses = json.dumps(data[1])
    assert kind == "complete" and "cache" in addresses
    assert not [key for key in (status["key"], status["view"], status["edit"]) if key in addresses]
    words = {part[:end] for part in re.findall(r"[0-9a-f]{12,}", addresses) for end in (24, 32, None)}
    for word in sorted(words):
        assert "no_such_job" in _words(_look(pavel, status["job"], word)), word
        for action in _ACTIONS:
            assert "no_such_job" in _words(pavel.answer(action, job=status["job"], key=word)), word
    assert _look(olga, status["job"])[0] == "complete"


def attack_with_the_link_for_looking(out: Path) -> None:
    """The key for looking shows status and files; acting with it is forbidden (403), and tells no key for acting."""
    _, olga, pavel = visitors(out)
    status = _job(olga, out, end="0.5")
    kind, data = _look(pavel, status["job"], status["view"])
    assert kind == "complete" and data[0]["state"] == "done" and data[1]
    assert (
        status["edit"] not in json.dumps(data) and data[0]["edit"] == "" and data[0]["key"] == status["view"]
    )
    for action in _ACTIONS:
        words = _words(pavel.answer(action, job=status["job"], key=status["view"]))
        assert "403" in words and "[forbidden]" in words, words
    assert _look(olga, status["job"])[0] == "complete", "it is still there"
    kind, data = pavel.answer("delete", job=status["job"], key=status["edit"])
    assert kind == "complete", "the key for acting acts"


def attack_with_the_link_for_looking_on_the_page(out: Path) -> None:
    """The page's own handlers, asked directly with a link for looking, refuse to act and tell no key for acting."""
    _, olga, pavel = visitors(out)
    status = _job(olga, out, end="0.6")
    link = f"?job={status['job']}&key={status['view']}"
    handlers = pavel.http.get("/config").json()
    kinds = {each["id"]: each["type"] for each in handlers["components"]}
    asked = 0
    for handler in handlers["dependencies"]:
        if handler["backend_fn"] and [kinds[id] for id in handler["inputs"]] == ["textbox"]:
            body = {"fn_index": handler["id"], "data": [link], "session_hash": pavel.session}
            answer = pavel.http.post("/gradio_api/run/predict", json=body).text
            assert status["edit"] not in answer, handler["api_name"]
            asked += "look at the job, but not change it" in answer
    assert asked >= len(_ACTIONS), "the buttons were not found"
    assert _look(olga, status["job"])[0] == "complete"


def attack_by_asking_what_there_is(out: Path) -> None:
    """A stranger's job and one that does not exist are answered in the same words, without paths of the server."""
    server, olga, pavel = visitors(out)
    status = _job(olga, out, end="0.7")
    job, key = status["job"], status["key"]
    other = "".join("0123456789abcdef"[(int(digit, 16) + 1) % 16] for digit in job)
    keys = (
        "",
        key[:-1],
        key[::-1],
        key.upper(),
        key + " ",
        "0" * 24,
        None,
        7,
        1e99,
        [],
        {"a": key},
        "\ud800",
        "é",
        "\x00",
    )
    said = set()
    for id in (job, other):
        for wrong in keys:
            said.add(_words(_look(pavel, id, wrong)))
            said |= {
                _words(pavel.answer(action, job=id, key=wrong)) for action in _ACTIONS[:: 3 if wrong else 1]
            }
    odd = (
        None,
        7,
        [job],
        {"job": job},
        "",
        ".",
        "..",
        f"../{job}",
        f"{job}/",
        f"{job}\n",
        f"{job}\x00",
        "\ud800",
    )
    for id in (*odd, "uploads", "cache", "secret", job.upper(), "ａ" * 16, "B" * 90_000):
        said.add(_words(_look(pavel, id, key)))
    assert len(said) == 1, said
    (words,) = said
    assert "no_such_job" in words and str(server.jobs) not in words and job not in words
    assert _look(pavel, job, key)[0] == "complete"


if __name__ == "__main__":
    sys.exit(main(globals()))
