"""Settings that are no number, or too large a one; a setting that is taken means what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.attack.blackbox import APP, PATIENCE_SECONDS, PY, Raw, clip, main, served
from tests.attack.keys import visitors

_ENDLESS: tuple[Any, ...] = (
    *(
        float("inf"),
        float("-inf"),
        float("nan"),
        1e308,
        10**350,
        "Infinity",
        "-inf",
        "nan",
        "1e4000",
        "٣" * 3,
    ),
    *("8" * 5000, "0x1F", "1__0"),
)
_NO_NUMBERS = ("file", "task", "mask", "source", "driving")


def attack_every_setting_with_endless_numbers(out: Path) -> None:
    """Each setting refuses numbers without end and of other scripts by itself, before it is asked for a video."""
    visitor = Raw(served(out))
    for endpoint in ("score", "inpaint", "animate"):
        names = [each["parameter_name"] for each in visitor.parameters(endpoint)]
        for number, name in enumerate(name for name in names if name not in _NO_NUMBERS):
            for value in _ENDLESS[number % 6 :: 6]:
                kind, data = visitor.answer(endpoint, **{name: value})
                assert kind == "error", (endpoint, name, value)
                words = data["error"]
                assert "[bad_input]" in words and "There is no" not in words, (endpoint, name, value, words)


def _command(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [PY, "-m", "pipelines", *arguments, "--jobs-dir", str(out / "endless/jobs")]
    env = {**os.environ, "COLUMNS": "400"}
    return subprocess.run(
        command, cwd=APP, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def attack_the_command_line_with_endless_numbers(out: Path) -> None:
    """Exit status 2, a sentence of a line that quotes 80 characters at most, and no job: nothing is computed."""
    film = str(clip(out / "film.mp4"))
    for arguments in (
        ("score", film, "--start", "inf"),
        ("score", film, "--ram-limit-gb", "1e308"),
        ("inpaint", film, "--box", "1,1,5,5@" + "6" * 5000),
    ):
        ended = _command(out, *arguments)
        assert ended.returncode == 2, (arguments[2:], ended.stderr[-500:])
        words = ended.stderr.strip()
        assert len(words.splitlines()) == 1 and len(words) < 400 and "Traceback" not in words, words
    assert not list((out / "endless/jobs").glob("*/job.json"))


def attack_by_what_a_job_remembers(out: Path) -> None:
    """What the server keeps of a request is what was asked, number for number."""
    server, visitor, _ = visitors(out)
    film = visitor.uploaded("kept.mp4", clip(out / "kept.mp4").read_bytes())
    asked = {"start": "0.1", "end": "1e0", "window": 5, "ram_limit_gb": "2.5", "salvage": 1}
    kind, data = visitor.answer("submit", file=film, task="score", quality="draft", **asked)
    assert kind == "complete", data
    kept = json.loads((server.jobs / data[0]["job"] / "job.json").read_text())["asked"]
    wanted = {"start": 0.1, "end": 1.0, "window": 5, "ram_limit_gb": 2.5, "salvage": True}
    assert {name: kept[name] for name in wanted} == wanted


if __name__ == "__main__":
    sys.exit(main(globals()))
