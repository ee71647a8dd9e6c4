"""The requirements files name every package that the code imports, and no other."""

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"app", "memory", "pipelines", "presets", "ui"}
RUN_TIME_FILES = (
    "requirements.txt",
    "requirements-faces.txt",
    "requirements-store.txt",
    "requirements-ray.txt",
    "requirements-track.txt",
)

OPTIONAL = {
    "spaces": "a Space on ZeroGPU brings it",
    "torchvision": "deform_conv.py uses its kernel where it happens to be installed",
}
"""Imported only if present: declared nowhere."""

FOUND_BY_OTHERS = {"s3fs": "fsspec finds it by the address s3://"}
"""Declared, and never imported by us."""


def canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def imported_packages() -> set[str]:
    """Top-level names of all third-party imports, lazy ones and `import_module("name")` included."""
    names: set[str] = set()
    for path in [
        ROOT / "app.py",
        *(file for package in OURS - {"app"} for file in (ROOT / package).rglob("*.py")),
    ]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module or "")
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                names |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return {name.partition(".")[0] for name in names} - OURS - set(sys.stdlib_module_names)


def distributions_of(package: str) -> set[str]:
    """The distributions that provide `package`; one that is not installed is taken to have the same name."""
    return {canonical(name) for name in importlib.metadata.packages_distributions().get(package, [package])}


def requirements(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


def declared() -> set[str]:
    return {canonical(line.partition("==")[0]) for name in RUN_TIME_FILES for line in requirements(name)}


def test_every_imported_package_is_declared() -> None:
    wanted = imported_packages()
    assert len(wanted) > 15, "the imports were not read"
    undeclared = {name for name in wanted if not distributions_of(name) & declared()}
    assert undeclared == set(OPTIONAL)


def test_every_declared_package_is_imported() -> None:
    used = {name for package in imported_packages() for name in distributions_of(package)}
    assert declared() - used == set(FOUND_BY_OTHERS)


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.txt")), ids=lambda path: path.name)
def test_every_requirement_is_pinned_exactly(path: Path) -> None:
    for line in requirements(path.name):
        assert re.fullmatch(r"[\w.-]+==[\w.]+(; .+)?", line), line
