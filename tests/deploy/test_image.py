"""The Dockerfile is sound by its linter's rules and by ours, and what it copies is all that it is given."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.dockerfile import ROOT, Image, instructions, stages

IMAGES = ("cuda", "cpu")


@pytest.fixture(scope="module", params=IMAGES)
def image(request: pytest.FixtureRequest) -> Image:
    return stages()[request.param]


def hadolint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not program:
        pytest.skip("hadolint is not installed (requirements-dev.txt)")
    return subprocess.run([program, dockerfile], capture_output=True, text=True, timeout=60)


def test_the_linter_has_nothing_to_say() -> None:
    ran = hadolint(ROOT / "Dockerfile")
    assert (ran.returncode, ran.stdout) == (0, "")


def test_the_linter_sees_what_is_wrong(tmp_path: Path) -> None:
    wrong = (ROOT / "Dockerfile").read_text().replace('CMD ["python", "app.py"', 'CMD python ["app.py"')
    (tmp_path / "Dockerfile").write_text(wrong)
    assert "DL3025" in hadolint(tmp_path / "Dockerfile").stdout, "a command that a shell would run"


def test_instructions_are_read_with_their_continuations() -> None:
    text = "# a\nFROM x AS y\nRUN a \\\n    # why\n    && b\nENV A=1 \\\n    B=2\n"
    assert instructions(text) == [("FROM", "x AS y"), ("RUN", "a && b"), ("ENV", "A=1 B=2")]


def test_a_build_without_a_target_makes_the_image_for_a_cpu() -> None:
    assert tuple(stages())[-2:] == IMAGES


def test_the_command_is_a_process_that_tini_watches_and_nobody_privileged(image: Image) -> None:
    assert image.command("ENTRYPOINT") == ["tini", "--"]
    assert image.command("CMD")[:2] == ["python", "app.py"]
    assert image.words["USER"] == "1000:1000" and image.words["STOPSIGNAL"] == "SIGTERM"


def test_jobs_and_weights_are_volumes_and_in_no_layer(image: Image) -> None:
    assert image.command("VOLUME") == ["/jobs", "/weights"]
    assert {target for _, target in image.copied} == {"/opt/venv", "/app"}


def test_only_the_image_for_gpus_asks_for_the_driver() -> None:
    found = stages()
    assert found["cuda"].environ["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility,video"
    assert not [name for name in found["cpu"].environ if name.startswith("NVIDIA")]


def test_the_python_is_one_that_the_project_supports() -> None:
    arguments = dict(
        rest.split("=") for name, rest in instructions((ROOT / "Dockerfile").read_text()) if name == "ARG"
    )
    assert arguments == {"PYTHON_VERSION": "3.12"}
    assert 'requires-python = ">=3.11,<3.14"' in (ROOT / "pyproject.toml").read_text()


# -- what is sent to the builder -----------------------------------------------------------------------------


def sent() -> tuple[set[str], set[str]]:
    """What .dockerignore lets through, and what it takes away again."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines.pop(0) == "*", "nothing is sent that is not named"
    return {line[1:] for line in lines if line[0] == "!"}, {line for line in lines if line[0] != "!"}


def copied() -> set[str]:
    """What any stage copies from the project, that for machines of a Ray cluster included."""
    every = {source for image in stages().values() for sources, _ in image.copied for source in sources}
    text = (ROOT / "deploy" / "ray" / "Dockerfile").read_text(encoding="utf-8")
    every |= {word for name, rest in instructions(text) if name == "COPY" for word in rest.split()[:-1]}
    return {source for source in every if ":" not in source}


def test_what_is_copied_is_sent_and_nothing_else_is() -> None:
    through, away = sent()
    assert through - {"deploy"} == copied(), "a folder is sent so that a file in it can be"
    assert away == {"deploy/*", "**/__pycache__", "**/*.pyc"}
    assert not [name for name in copied() if not (ROOT / name).exists()]


def test_the_image_has_all_of_the_program() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "docs"}
    assert packages | {"app.py", "pyproject.toml", "LICENSE"} <= copied()
    # docs/workers.md says that object stores are left out: the library is large, and few need it.
    extras = {path.name for path in ROOT.glob("requirements*.txt")} - {"requirements-dev.txt"}
    assert extras - {"requirements-store.txt"} <= copied()
