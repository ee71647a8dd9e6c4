"""The page on a Space that lends its GPU call by call, with a fake `spaces`: who clicks pays."""

import ast
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file

import app
from pipelines.jobs.events import Planned
from ui.render.card import card

ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests" / "pipelines" / "workers" / "fake_spaces"
NETWORK = "from pipelines.scoring.builtin.engine import BuiltinEngine\nBuiltinEngine.network = True\n"


def test_whoever_clicks_pays_and_a_resume_by_another_goes_on(
    start_app: Callable[..., Any], clip: Path, tmp_path: Path
) -> None:
    """The token comes in a header of the click, as the proxy of a Space sends it; without one there is no quota."""
    (tmp_path / "with_network.py").write_text(NETWORK)
    path = os.pathsep.join(map(str, (tmp_path, FAKE, ROOT)))
    served = start_app(
        env={"SPACES_ZERO_GPU": "true", "PYTHONPATH": path, "LONGTAKE_PLUGINS": "with_network"}
    )
    nobody = Client(served.url, verbose=False)
    status = nobody.predict(file=handle_file(clip), api_name="/score")[0]
    assert status["state"] == "paused" and "used up" in status["message"]
    ann = Client(served.url, verbose=False, headers={"x-ip-token": "ann"})
    ann.predict(status["job"], status["key"], api_name="/resume")
    status = ann.predict(status["job"], status["key"], True, api_name="/job")[0]
    assert status["state"] == "done" and status["done"] == 40


def test_a_word_that_is_no_kind_of_space_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LONGTAKE_SPACE", "zeroo")
    assert app.main([f"--jobs-dir={tmp_path}"]) == 2
    assert "zero, cpu, gpu" in capsys.readouterr().err


def test_what_a_video_needs_of_the_quota_is_shown_before_the_start(plan: Planned) -> None:
    assert "GPU seconds" not in card(plan, "clip.mp4")
    shown = card(plan.model_copy(update={"gpu_seconds": 1234}), "clip.mp4")
    assert "about 1,234 GPU seconds" in shown and "1,234 秒" in shown


def test_only_calls_on_a_lent_gpu_import_spaces_and_only_a_page_that_has_one_imports_those() -> None:
    importers: dict[str, set[str]] = {"spaces": set(), "pipelines.workers.space_call": set()}
    at_top: dict[str, set[str]] = {name: set() for name in importers}
    files = [ROOT / "app.py", *(ROOT / "pipelines").rglob("*.py"), *(ROOT / "ui").rglob("*.py")]
    for file in files:
        if "space" not in (text := file.read_text(encoding="utf-8")):
            continue
        tree = ast.parse(text)
        for nodes, found in ((ast.walk(tree), importers), (iter(tree.body), at_top)):
            for node in nodes:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                for name in found.keys() & set(names):
                    found[name].add(file.stem)
    assert importers["spaces"] == {"space_call"} and not at_top["spaces"]
    assert importers["pipelines.workers.space_call"] == {"app", "space_crew", "space_worker"}
    assert at_top["pipelines.workers.space_call"] == {"space_crew", "space_worker"}
