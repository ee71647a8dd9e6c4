"""A plug-in's engine and task run as the built-in ones do, by command line, page and API; no file of ours is edited."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import BrowserContext

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, FRAMES = 64, 48, 12


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process that is started from here has the plug-in that `docs/plugins.md` shows, as it stands there."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/plugins.md").read_text(), re.MULTILINE | re.DOTALL
    )
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "longtake_toys.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
    monkeypatch.setenv("LONGTAKE_PLUGINS", "longtake_toys")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Frames of one dark green, lossless."""
    frame = np.full((HEIGHT, WIDTH, 3), (20, 60, 30), np.uint8)
    path = tmp_path / "green.mkv"
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "-")
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        *raw,
        "-c:v",
        "libx264rgb",
        "-qp",
        "0",
        str(path),
    ]
    subprocess.run(command, input=frame.tobytes() * FRAMES, check=True, timeout=300)
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """The left half."""
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    picture[:, : WIDTH // 2] = 255
    Image.fromarray(picture).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def first_frame(path: Path) -> np.ndarray[Any, Any]:
    """By ffmpeg, not by our own reader."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-frames:v", "1"]
    raw = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True
    )
    return np.frombuffer(raw.stdout, np.uint8).reshape(HEIGHT, WIDTH, 3).astype(int)


def run(*arguments: object) -> dict[str, Any]:
    """The outputs of a command that ends well."""
    command = [sys.executable, "-m", "pipelines", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    outputs: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["outputs"]
    return outputs


def assert_grey(path: Path) -> None:
    pixels = first_frame(path)
    assert np.abs(pixels[:, 4:20] - 200).max() <= 6, "the fill"
    assert np.abs(pixels[:, -12:] - (20, 60, 30)).max() <= 6, "what was outside the mask"


def assert_negative(path: Path) -> None:
    assert np.abs(first_frame(path) - (235, 195, 225)).max() <= 6


def test_an_engine_of_a_plug_in_runs_by_the_command_line(
    environment: None, clip: Path, mask: Path, tmp_path: Path
) -> None:
    asked = ("--engine", "grey", "--grey-level", 200, "--mask-dilation", 0)
    outputs = run("inpaint", clip, "--mask", mask, *asked, "--jobs-dir", tmp_path / "jobs")
    assert_grey(Path(outputs["result"]))
    report = json.loads(Path(outputs["report"]).read_text())
    assert report["engine"] == "grey" and report["settings"]["grey_level"] == 200


def test_a_task_of_a_plug_in_runs_by_the_command_line_and_is_resumed(
    environment: None, clip: Path, tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs"
    outputs = run("negate", clip, "--jobs-dir", jobs, "-o", tmp_path / "negative.mp4")
    assert_negative(tmp_path / "negative.mp4")
    assert run("negate", clip, "--jobs-dir", jobs)["result"] == outputs["result"]
    assert len(list(jobs.glob("*/job.json"))) == 1
    assert (
        "negate"
        in subprocess.run(
            [sys.executable, "-m", "pipelines", "--help"], cwd=ROOT, capture_output=True, text=True
        ).stdout
    )


def test_both_run_by_the_api(
    environment: None, clip: Path, mask: Path, start_app: Callable[..., Any], tmp_path: Path
) -> None:
    client = Client(start_app().url, verbose=False)
    status, files = client.predict(handle_file(clip), keep=0.0, api_name="/negate")
    assert status["state"] == "done" and status["task"] == "negate"
    assert_negative(next(Path(file) for file in files if file.endswith(".mp4")))
    asked = {"mask": handle_file(mask), "engine": "grey", "grey_level": 200, "mask_dilation": 0}
    status, files = client.predict(handle_file(clip), **asked, api_name="/inpaint")
    assert status["state"] == "done" and status["engine"] == "grey"
    assert_grey(next(Path(file) for file in files if file.endswith(".mp4")))


@pytest.mark.browser
def test_both_are_on_the_page(
    environment: None,
    clip: Path,
    start_app: Callable[..., Any],
    new_context: Callable[..., BrowserContext],
) -> None:
    page = new_context().new_page()
    page.goto(start_app().url)
    page.get_by_role("tab", name="Negative").click()
    page.locator("#negate-file input[type=file]").set_input_files(clip)
    button = page.locator("#negate-run")
    button.wait_for()
    page.wait_for_function("document.querySelector('#negate-run').disabled === false")
    button.click()
    page.locator("#negate .lt-done, [data-state=done]").first.wait_for()
    page.get_by_role("tab", name="Remove object").click()
    page.locator("#inpaint-engines").get_by_text("Grey", exact=True).wait_for()


def test_a_plug_in_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAKE_PLUGINS", "there_is_none")
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2
    assert (
        "there_is_none" in done.stderr
        and "LONGTAKE_PLUGINS" in done.stderr
        and "Traceback" not in done.stderr
    )


@pytest.mark.parametrize(
    "doing",
    [
        "import pipelines.spec as spec; [spec.settings_model(name) for name in spec.tasks()]",
        "import pipelines.__main__",
        "import app",
    ],
)
def test_asking_the_registry_and_starting_load_nothing_heavy(doing: str) -> None:
    heavy = {"torch", "cv2", "av", "decord", "gradio", "scipy", "numpy", "PIL"}
    code = f"import sys; {doing}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
