"""The command line as a user meets it: exit codes, one clear line, events, and what a kill leaves."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import psutil
import pytest

from memory.units import GIB

ROOT = Path(__file__).parents[3]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def ffmpeg(*arguments: object) -> None:
    subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, arguments)], check=True)


def draw(path: Path, frames: int, size: str = "320x180", *more: object) -> Path:
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=size={size}:rate=30",
        "-frames:v",
        frames,
        "-pix_fmt",
        "yuv420p",
        *more,
        path,
    )
    return path


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good clip and one of each bad kind."""
    folder = tmp_path_factory.mktemp("clips")
    good = draw(folder / "good.mp4", 300, "320x180", "-preset", "ultrafast").read_bytes()
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("hello\n" * 100)
    (folder / "cut.mp4").write_bytes(good[: len(good) // 2])
    hurt = bytearray(good)
    hurt[len(good) // 2 : len(good) // 2 + 4000] = bytes(4000)
    (folder / "hurt.mp4").write_bytes(hurt)
    ffmpeg("-f", "lavfi", "-i", "sine=duration=2", folder / "sound.mp4")
    return folder


def start(*arguments: object, **more: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )


def run(*arguments: object) -> tuple[int, list[dict], str]:
    """Exit code, events on stdout, stderr."""
    process = start(*arguments, "--json")
    out, err = process.communicate(timeout=300)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def scores(folder: Path) -> bytes:
    return next(folder.rglob("scores.csv")).read_bytes()


def test_score_from_file_to_files(clips: Path, tmp_path: Path) -> None:
    code, events, err = run("score", clips / "good.mp4", "--jobs-dir", tmp_path)
    assert (code, err) == (0, "")
    kinds = [event["type"] for event in events if event["type"] != "memory"]
    assert kinds[:3] == ["queued", "started", "planned"]
    done = events[-1]
    assert done["type"] == "done" and done["job"]
    for name in ("report", "scores", "picture", "memory"):
        assert Path(done["outputs"][name]).is_absolute() and Path(done["outputs"][name]).is_file()
    assert done["outputs"]["result"] is None
    with Path(done["outputs"]["scores"]).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 300
    assert ",".join(rows[0]) == "frame,time_seconds,sharpness,blurred,frozen,cut,motion,window_score,blank"


def test_people_get_sentences_and_paths(clips: Path, tmp_path: Path) -> None:
    process = start("score", clips / "good.mp4", "--jobs-dir", tmp_path)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    paths = [
        line.split()[-1] for line in out.splitlines() if line.split()[0] in ("report", "scores", "picture")
    ]
    assert len(paths) == 3 and all(Path(path).is_file() for path in paths)
    process = start("doctor", "--jobs-dir", tmp_path)
    assert "ffmpeg" in process.communicate(timeout=300)[0] and process.returncode == 0


def test_asking_again_shows_the_result_and_runs_nothing(clips: Path, tmp_path: Path) -> None:
    first = run("score", clips / "good.mp4", "--jobs-dir", tmp_path)
    again = run("score", clips / "good.mp4", "--jobs-dir", tmp_path)
    assert again[1] == first[1], "the very same events"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("zero.mp4", "not_a_video"),
        ("text.mp4", "not_a_video"),
        ("missing.mp4", "not_a_video"),
        ("sound.mp4", "no_video_stream"),
        ("cut.mp4", ""),
        ("hurt.mp4", "damaged_video"),
    ],
)
def test_a_bad_file_is_one_clear_line_and_exit_2(clips: Path, tmp_path: Path, name: str, code: str) -> None:
    exit_code, events, err = run("score", clips / name, "--jobs-dir", tmp_path)
    assert exit_code == 2
    assert events[-1]["type"] == "failed" and code in events[-1]["code"]
    assert len(err.splitlines()) == 1 and "Traceback" not in err
    assert name in err
    assert events[-1]["hint"] in err


def test_a_damaged_file_is_used_as_far_as_it_goes_with_salvage(clips: Path, tmp_path: Path) -> None:
    code, events, _ = run("score", clips / "hurt.mp4", "--jobs-dir", tmp_path, "--salvage")
    assert code == 0
    warning = next(e for e in events if e["type"] == "warning")
    assert warning["code"] == "damaged" and "cannot be read and are skipped" in warning["message"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["score", "x.mp4", "--window", "500"], "--window"),
        (["score", "x.mp4", "--windw", "5"], "--window"),
        (["score", "x.mp4", "--start", "3", "--end", "2"], "must come after"),
        (["score", "x.mp4", "-o", "x.mp4"], "x.mp4: score makes no .mp4"),
        (["paint", "x.mp4"], "paint"),
        (["estimate", "paint", "x.mp4"], "paint"),
        (["resume", "nothing"], "no job"),
    ],
)
def test_a_wrong_flag_is_one_line_that_names_it(arguments: list[str], says: str, tmp_path: Path) -> None:
    code, _, err = run(*arguments, "--jobs-dir", tmp_path)
    assert code == 2
    assert len(err.splitlines()) == 1 and says in err and "Traceback" not in err


def test_a_place_that_cannot_be_written_to_is_named(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = run("score", clips / "good.mp4", "--jobs-dir", tmp_path / "file" / "jobs")
    assert code == 2
    assert len(err.splitlines()) == 1 and "--jobs-dir" in err


def test_a_result_is_put_where_the_user_wants_it(clips: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "mine.CSV"
    code, events, _ = run("score", clips / "good.mp4", "--jobs-dir", tmp_path / "jobs", "-o", target)
    assert code == 0
    assert target.read_bytes() == Path(events[-1]["outputs"]["scores"]).read_bytes()


def test_a_limit_that_cannot_be_kept_is_refused_with_the_number_that_is_needed(
    clips: Path, tmp_path: Path
) -> None:
    code, events, err = run("score", clips / "good.mp4", "--jobs-dir", tmp_path, "--ram-limit-gb", "0.05")
    assert code == 3
    assert events[-1]["code"] == "not_enough_memory" and "GiB" in err
    assert not any(e["type"] == "segment" for e in events)


def test_a_limit_is_kept_by_the_whole_tree(clips: Path, tmp_path: Path) -> None:
    code, events, _ = run("score", clips / "good.mp4", "--jobs-dir", tmp_path, "--ram-limit-gb", "1")
    assert code == 0
    assert max(e["host_peak_bytes"] for e in events if e["type"] == "memory") < GIB


def test_copy_keeps_frames_and_sound_and_names_the_result(tmp_path: Path) -> None:
    clip = tmp_path / "in.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30000/1001", "-f", "lavfi", "-i", "sine=r=44100"),
        *("-t", "3", "-pix_fmt", "yuv420p", "-c:a", "aac", clip),
    )
    code, events, err = run("copy", clip, "--jobs-dir", tmp_path / "jobs", "-o", tmp_path / "out.mp4")
    assert code == 0, err
    assert (tmp_path / "out.mp4").read_bytes() == Path(events[-1]["outputs"]["result"]).read_bytes()


def test_estimate_runs_nothing_and_says_what_a_run_would_hold(clips: Path, tmp_path: Path) -> None:
    code, lines, _ = run("estimate", "score", clips / "good.mp4", "--jobs-dir", tmp_path / "none")
    assert code == 0
    (planned,) = lines
    assert planned["type"] == "planned" and planned["facts"]["frames"] == 300
    assert planned["predicted_host_bytes"] > 0 and planned["risk"] in ("low", "medium")
    assert not (tmp_path / "none").exists()


def test_doctor_looks_at_everything_a_run_depends_on(tmp_path: Path) -> None:
    code, findings, _ = run("doctor", "--jobs-dir", tmp_path)
    assert code == 0
    assert {"python", "host", "torch", "ffmpeg", "decoders", "weights", "disk"} <= {
        f["what"] for f in findings
    }
    assert all(f["ok"] or f["advice"] for f in findings)


def test_a_folder_of_videos_is_one_table_and_goes_on_past_a_bad_file(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("good.mp4", "text.mp4"):
        (folder / name).write_bytes((clips / name).read_bytes())
    table = tmp_path / "table"
    code, _, err = run("score", folder, "--jobs-dir", tmp_path / "jobs", "-o", table)
    assert code == 5
    assert "text.mp4" in err and "1 of 2" in err
    assert {path.name for path in table.iterdir()} == {"table.csv", "published.csv", "report.json"}
    assert str(table / "report.json") in err


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []

    def make(*arguments: object) -> subprocess.Popen[str]:
        processes.append(start(*arguments, "--json"))
        return processes[-1]

    yield make
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], kind: str, times: int = 1) -> list[dict]:
    """Events up to the given one."""
    events = []
    for line in process.stdout or ():
        events.append(json.loads(line))
        times -= events[-1]["type"] == kind
        if not times:
            return events
    raise AssertionError(f"no {kind} among {[e['type'] for e in events]}")


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seconds of work: long enough to be killed in the middle of."""
    folder = tmp_path_factory.mktemp("long")
    return repeat(draw(folder / "once.mp4", 600, "320x180", "-preset", "ultrafast"), 8)


def repeat(clip: Path, times: int) -> Path:
    path = clip.with_name(f"{times}-times-{clip.name}")
    ffmpeg("-stream_loop", times - 1, "-i", clip, "-c", "copy", path)
    return path


@pytest.fixture(scope="session")
def whole(long_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The scores of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert run("score", long_clip, "--jobs-dir", folder)[0] == 0
    return scores(folder)


def spans_computed(folder: Path) -> list[tuple[int, int]]:
    journal = next(folder.rglob("events.jsonl")).read_text().splitlines()
    events = [json.loads(line) for line in journal if line.endswith("}")]
    return [(e["start"], e["stop"]) for e in events if e["type"] == "segment"]


def test_when_the_worker_is_killed_the_job_goes_on_in_a_new_one(
    started, long_clip: Path, whole: bytes, tmp_path
) -> None:
    process = started("score", long_clip, "--jobs-dir", tmp_path)
    worker = next(e for e in read_until(process, "segment", 2) if e["type"] == "started")["worker_pid"]
    os.kill(worker, signal.SIGKILL)
    events = read_until(process, "done")
    assert process.wait(200) == 0
    assert any(e["type"] == "warning" and "signal 9" in e["message"] for e in events)
    assert scores(tmp_path) == whole
    computed = spans_computed(tmp_path)
    assert len(computed) == len(set(computed)), "no span twice"


def test_when_everything_is_killed_nothing_is_left_over_and_a_resume_goes_on(
    started, long_clip: Path, whole: bytes, tmp_path: Path
) -> None:
    process = started("score", long_clip, "--jobs-dir", tmp_path)
    events = read_until(process, "segment", 3)
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for each in tree:
        each.kill()
    _, alive = psutil.wait_procs(tree[1:], timeout=300)
    process.communicate()
    assert not alive
    assert run("resume", events[0]["job"], "--jobs-dir", tmp_path)[0] == 0
    assert scores(tmp_path) == whole
    computed = spans_computed(tmp_path)
    assert len(computed) == len(set(computed))


def test_when_the_command_line_is_killed_its_worker_leaves(started, long_clip: Path, tmp_path: Path) -> None:
    process = started("score", long_clip, "--jobs-dir", tmp_path)
    read_until(process, "segment")
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=300)
    assert not alive
    assert run("resume", "--jobs-dir", tmp_path)[0] == 0
    assert len(scores(tmp_path).splitlines()) == 4801


def test_ctrl_c_cancels_and_keeps_what_is_finished(started, long_clip: Path, tmp_path: Path) -> None:
    process = started("score", repeat(long_clip, 5), "--jobs-dir", tmp_path)
    read_until(process, "segment")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    lines = out.splitlines()
    assert json.loads(lines[-1])["type"] == "cancelled", "and no failure besides"
    assert len(lines) == len(set(lines)), "no event is told twice"
    assert "resume" in err and "Traceback" not in err
    assert spans_computed(tmp_path)


def test_two_command_lines_share_one_job(started, long_clip: Path, whole: bytes, tmp_path: Path) -> None:
    first = started("score", long_clip, "--jobs-dir", tmp_path)
    read_until(first, "segment")
    second = started("score", long_clip, "--jobs-dir", tmp_path)
    read_until(second, "done")
    read_until(first, "done")
    assert (first.wait(200), second.wait(200)) == (0, 0)
    computed = spans_computed(tmp_path)
    assert len(computed) == len(set(computed))
    assert scores(tmp_path) == whole
