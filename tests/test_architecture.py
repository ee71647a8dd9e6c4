"""Imports point down only: the house's floors, read from the source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS: list[set[str]] = [
    {"memory"},
    {"presets", "pipelines.errors", "pipelines.spans", "pipelines.whole"},
    {
        "pipelines.settings",
        "pipelines.events",
        "pipelines.pictures",
        "pipelines.memory_chart",
        "pipelines.folders",
        "pipelines.frame_folder",
        "pipelines.paces",
    },
    {"pipelines.journal", "pipelines.locking", "pipelines.inputs"},
    {"pipelines.jobs", "pipelines.video", "pipelines.nets"},
    {"pipelines.stages", "pipelines.telling", "pipelines.report_file", "pipelines.film_folders"},
    {
        "pipelines.scoring",
        "pipelines.inpainting",
        "pipelines.animation",
        "pipelines.copying",
    },
    {"pipelines.example", "pipelines.tasks", "pipelines.watching", "pipelines.recovery", "pipelines.engines"},
    {"pipelines.planning", "pipelines.doctor"},
    {"pipelines.run", "pipelines.looking", "pipelines.posing"},
    {"pipelines.disposal", "pipelines.ticket", "pipelines.worker_process"},
    {"pipelines.worker", "pipelines.retrying", "pipelines.ledger"},
    {"pipelines.queue"},
    {"pipelines.janitor"},
    {"pipelines.console", "pipelines.flags"},
    {"pipelines.estimating", "pipelines.stocktaking"},
    {"pipelines.pose_command"},
    {"pipelines.__main__"},
    {"ui"},
    {"app"},
]
"""Lowest first. A room may import from its own floor only within the same package, and from any floor below."""


def modules() -> dict[str, Path]:
    found = [ROOT / "app.py"]
    for package in ("memory", "presets", "pipelines", "ui"):
        found += sorted((ROOT / package).rglob("*.py"))
    return {name_of(path): path for path in found if path.exists()}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room(module: str) -> str | None:
    """The entry of FLOORS that `module` belongs to: the longest that is a prefix of it."""
    rooms = [r for floor in FLOORS for r in floor if module == r or module.startswith(r + ".")]
    return max(rooms, key=len, default=None)


def level(name: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if name in floor)


def imports(path: Path, *, at_top: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_top else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a line points"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_down(module: str) -> None:
    if module == "pipelines":
        assert not imports(modules()[module])
        return
    home = room(module)
    assert home, f"{module} has no floor: add it to FLOORS and to the map in the README"
    for name in imports(modules()[module]):
        there = room(name)
        if there and there != home:
            assert level(there) < level(home), f"{module} imports {name}, which is not below it"


@pytest.mark.parametrize("module", sorted(modules()))
def test_torch_is_imported_only_by_networks_and_never_on_import(module: str) -> None:
    if not module.startswith("pipelines.nets"):
        tops = {name.split(".")[0] for name in imports(modules()[module], at_top=True)}
        assert "torch" not in tops


@pytest.mark.parametrize("module", sorted(modules()))
def test_only_the_page_knows_gradio(module: str) -> None:
    if not module.startswith(("ui", "app")):
        assert "gradio" not in {name.split(".")[0] for name in imports(modules()[module])}


def test_the_map_in_the_readme_names_every_module() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## Layout.*?```\n(.*?)```", text, re.S)
    assert block, "the README has a section Layout with a map"
    missing = [p.name for m, p in modules().items() if p.name != "__init__.py" and p.name not in block[1]]
    assert not missing, f"not in the README's map: {missing}"
