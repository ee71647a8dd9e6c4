"""Films and folders of pictures that are equal but for a byte in their middle: each is a request of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.attack.blackbox import APP, PATIENCE_SECONDS, PY, Raw, Server, main, served, until

FORMATS = {
    "raw.avi": ("640x360", 8, ("-c:v", "rawvideo", "-pix_fmt", "bgr24")),
    "motion.mov": ("640x480", 10, ("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p")),
    "lossless.mkv": ("480x360", 16, ("-c:v", "ffv1")),
}
"""Size, frames and encoding of films of more than 2 MiB in containers of three kinds."""
OTHERS = ("--root-path=/lt",)
"""Makes a server that others can reach: each visitor sees their own jobs alone."""


def _film(path: Path, size: str, frames: int, encode: Sequence[str], seed: int = 1) -> Path:
    """Draw a noisy film, which no encoder makes small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    find = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"
    ffmpeg = subprocess.run([PY, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
    drawn = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25", "-vf", f"noise=alls=40:all_seed={seed}"]
    command = [ffmpeg, "-v", "error", *drawn, "-frames:v", str(frames), *encode, "-y", str(path)]
    subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
    return path


def _another(path: Path, target: Path, *, width: int = 1) -> Path:
    """A copy with other bytes in its middle, and the same size and times."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    assert middle > 2**20 + width or path.suffix == ".bmp", "the middle is none of the ends"
    for place in range(middle, middle + width):
        data[place] ^= 0x55
    target.parent.mkdir(parents=True, exist_ok=True)
    times = path.stat()
    target.write_bytes(data)
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    return target


def _run(*words: str | Path) -> tuple[int, str]:
    command = [PY, "-m", "pipelines", *map(str, words)]
    done = subprocess.run(command, cwd=APP, capture_output=True, text=True, timeout=4 * PATIENCE_SECONDS)
    return done.returncode, done.stdout + done.stderr


def _jobs(folder: Path) -> dict[str, Path]:
    return {path.parent.name: path.parent for path in folder.glob("*/job.json")}


def attack_films_that_differ_in_the_middle(out: Path) -> None:
    """Films of which one byte in the middle is another are two jobs; where half is another, with other scores."""
    for name, (size, frames, encode) in FORMATS.items():
        film = _film(out / "films" / name, size, frames, encode)
        width = film.stat().st_size // 2 - 2**20 - 1 if name == "raw.avi" else 1
        _another(film, film.with_stem(f"{film.stem}-other"), width=width)
    code, said = _run("score", out / "films", "--jobs-dir", out / "jobs")
    assert code == 0, said
    jobs = _jobs(out / "jobs").values()
    assert len(jobs) == 2 * len(FORMATS), said
    scores = [job / "scores.csv" for job in jobs if "raw" in (job / "job.json").read_text()]
    assert len({path.read_bytes() for path in scores}) == len(scores) == 2


def attack_one_pixel_of_one_picture_in_a_folder(out: Path) -> None:
    """A folder of pictures in which one pixel was changed, with the same size and times, is another job.

    The job that it was before is not resumed with it (2), and goes on when the picture is as it was.
    """
    out /= "pictures"
    numbers, folder, jobs = np.random.default_rng(3), out / "pictures", ("--jobs-dir", out / "jobs")
    folder.mkdir(parents=True)
    for number in range(4):
        pixels = numbers.integers(0, 256, (64, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.bmp")
    code, said = _run("score", folder, *jobs)
    assert code == 0, said
    ((id, job),) = _jobs(out / "jobs").items()
    (job / "events.jsonl").unlink()  # what says that it is done: as if it had been killed before its end
    (job / "report.json").unlink()
    whole = (folder / "2.bmp").rename(out / "whole.bmp")
    _another(whole, folder / "2.bmp")
    code, said = _run("resume", id, *jobs)
    assert code == 2 and "pictures has changed" in said, (code, said)
    assert not (job / "report.json").exists()
    code, said = _run("score", folder, *jobs)
    assert code == 0 and len(_jobs(out / "jobs")) == 2, said
    whole.replace(folder / "2.bmp")
    code, said = _run("resume", id, *jobs)
    assert code == 0 and (job / "report.json").exists(), (code, said)


def attack_a_visitor_who_knows_the_ends_of_a_film(out: Path) -> None:
    """Nobody gets, or spoils, what another's film gives by its ends; who has the whole film shares one job and copy."""
    size, frames, encode = FORMATS["raw.avi"]
    film = _film(out / "clip.avi", size, frames, encode, seed=os.getpid()).read_bytes()
    forged = bytearray(len(film))
    forged[: 2**20], forged[-(2**20) :] = film[: 2**20], film[-(2**20) :]
    server = served(out.parent, *OTHERS)
    first, _ = _submitted(server, "clip.avi", bytes(forged))
    anns, key = _submitted(server, "clip.avi", film)
    assert first != anns, "a forged film that was there before is not hers"
    again, same_key = _submitted(server, "clip.avi", film)
    assert (again, same_key) == (anns, key), "the whole film is the same request"
    copies = [path.read_bytes() for path in (server.jobs / "uploads").glob("*/clip.avi")]
    assert copies.count(film) == 1 and copies.count(bytes(forged)) == 1
    record = json.loads((server.jobs / anns / "job.json").read_text())
    assert "sha256" in json.dumps(record), "the record says what the film is known by"


def _submitted(server: Server, name: str, data: bytes) -> tuple[str, str]:
    """Id and key of a new visitor's job, once it has ended."""
    visitor = Raw(server)
    file = visitor.uploaded(name, data)
    kind, told = visitor.answer("submit", file=file, task="score")
    assert kind == "complete", told
    job, key = told[0]["job"], told[0]["key"]
    until(lambda: visitor.answer("job", job=job, key=key)[1][0]["state"] not in ("queued", "running"))
    assert visitor.answer("jobs")[1][0][0]["job"] == job, "it is the visitor's own"
    return job, key


if __name__ == "__main__":
    sys.exit(main(globals()))
