"""The header of a Space names what there is, for both ways of running it."""

import subprocess
import sys
from typing import Any

import pytest
import yaml

from pipelines.weights.catalog import PUBLISHED
from tests.deploy.dockerfile import ROOT, stages

COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
SCRIPT = ROOT / "deploy" / "space" / "front_matter.py"


def printed(*arguments: str) -> tuple[dict[str, Any], str]:
    """The header and the rest of what the script prints."""
    ran = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    empty, header, rest = ran.stdout.split("---\n", 2)
    assert not empty
    return dict(yaml.safe_load(header)), rest


def test_the_header_names_the_published_models_and_fits_the_forms() -> None:
    header = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    repositories = {entry.repositories[0] for entry in PUBLISHED.values() if entry.repositories}
    assert set(header["models"]) == repositories
    assert all(tag == tag.lower() and " " not in tag for tag in header["tags"])
    assert len(set(header["tags"])) == len(header["tags"])
    assert {header["colorFrom"], header["colorTo"]} <= COLOURS


def test_a_space_of_gradio_is_the_readme_with_a_picture() -> None:
    header, rest = printed("someone/long.take")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    picture = header.pop("thumbnail")
    assert header == yaml.safe_load(readme.split("---\n")[1])
    assert rest == readme.split("---\n", 2)[2]
    address, _, file = picture.partition("/resolve/main/")
    assert address == "https://huggingface.co/spaces/someone/long.take" and (ROOT / file).is_file()


def test_a_space_of_docker_runs_the_image_at_its_port() -> None:
    header, _ = printed("someone/longtake", "--sdk=docker")
    assert (header["sdk"], str(header["app_port"])) == ("docker", stages()["cpu"].words["EXPOSE"])
    assert not {"sdk_version", "python_version", "app_file"} & set(header)
    assert header["title"] == "Longtake" and header["models"] and header["thumbnail"]


@pytest.mark.parametrize("name", ["longtake", "a/b/c", "a b/c", "a/b\nsdk: static"])
def test_a_name_that_is_no_space_is_refused(name: str) -> None:
    ran = subprocess.run([sys.executable, SCRIPT, name], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2 and not ran.stdout and "owner/name" in ran.stderr
