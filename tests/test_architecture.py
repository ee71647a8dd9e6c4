"""The structure of the code, read from its imports: which package may import which, and that none goes in a circle."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS: list[set[str]] = [
    {"memory", "pipelines.errors", "pipelines.spans"},
    {"presets"},
    {"pipelines.storage", "pipelines.vision", "pipelines.drawing"},
    {"pipelines.settings"},
    {"pipelines.weights"},
    {"pipelines.spec"},
    {"pipelines.jobs", "pipelines.video"},
    {"pipelines.stages", "pipelines.nets"},
    {"pipelines.masks", "pipelines.frame_task"},
    {"pipelines.tracking"},
    {
        "pipelines.scoring",
        "pipelines.inpainting",
        "pipelines.animation",
        "pipelines.copying",
        "pipelines.comparing",
    },
    {"pipelines.example", "pipelines.engines"},
    {"pipelines.doctor"},
    {"pipelines.runtime"},
    {"pipelines.workers"},
    {"pipelines.scheduler"},
    {"pipelines.cli"},
    {"pipelines.__main__"},
    {"ui"},
    {"app"},
]
"""Lowest first. A room imports from floors below its own, never from another room of its own floor or from above."""

MOST_LOOSE_MODULES = 6
"""So many modules may stand beside sub-packages (house rule: a reader takes in a folder at one glance)."""

SAME_NAME = {}
"""Public class names that stand in two places, each with its reason."""


def modules() -> dict[str, Path]:
    found = [ROOT / "app.py"]
    for package in ("memory", "presets", "pipelines", "ui"):
        found += sorted((ROOT / package).rglob("*.py"))
    return {name_of(path): path for path in found if path.exists()}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = modules()
PACKAGES = sorted({name for name, path in MODULES.items() if path.name == "__init__.py"})


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


def imported_modules(module: str) -> set[str]:
    """Modules of ours that `module` imports, the most exact name of each."""
    found = set()
    for name in imports(MODULES[module]):
        if name in MODULES:
            found.add(name)
        elif (parent := name.rpartition(".")[0]) in MODULES:
            found.add(parent)
    return found - {
        name for name in found if name in PACKAGES and any(f.startswith(name + ".") for f in found)
    }


def children(package: str) -> dict[str, set[str]]:
    """The modules and sub-packages of `package`, and which of their siblings each of them imports."""
    depth = package.count(".") + 1
    arrows: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        if module.startswith(package + "."):
            child = ".".join(module.split(".")[: depth + 1])
            arrows[child] |= {
                ".".join(name.split(".")[: depth + 1])
                for name in imported_modules(module)
                if name.startswith(package + ".")
            }
    return {child: there - {child} for child, there in arrows.items()}


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Nodes that cannot be put in order: each is on a circle, or behind one."""
    left = {node: set(there) for node, there in arrows.items()}
    while free := [node for node, there in left.items() if not there & left.keys()]:
        for node in free:
            del left[node]
    return sorted(left)


def test_a_circle_is_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_children_of_a_package_import_each_other_in_no_circle(package: str) -> None:
    arrows = children(package)
    left = circle(arrows)
    assert not left, {node: sorted(arrows[node] & set(left)) for node in left}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module: str) -> None:
    if module == "pipelines":
        assert not imports(MODULES[module])
        return
    home = room(module)
    assert home, f"{module} has no floor: add its package to FLOORS"
    for name in imports(MODULES[module]):
        there = room(name)
        if there and there != home:
            assert level(there) < level(home), f"{module} imports {name}, which is not below it"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_torch_is_imported_only_by_networks_and_never_on_import(module: str) -> None:
    if not module.startswith("pipelines.nets"):
        tops = {name.split(".")[0] for name in imports(MODULES[module], at_top=True)}
        assert "torch" not in tops


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_page_knows_gradio(module: str) -> None:
    if not module.startswith(("ui", "app")):
        assert "gradio" not in {name.split(".")[0] for name in imports(MODULES[module])}


def test_one_module_knows_object_stores() -> None:
    knows = {
        module for module, path in MODULES.items() if "fsspec" in {n.split(".")[0] for n in imports(path)}
    }
    assert knows == {"pipelines.storage.object_store"}
    assert "fsspec" not in imports(MODULES["pipelines.storage.object_store"], at_top=True)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_ray_is_imported_by_one_module_and_never_on_import(module: str) -> None:
    only_at_top = module == "pipelines.workers.ray_cluster"
    assert "ray" not in {name.split(".")[0] for name in imports(MODULES[module], at_top=only_at_top)}


def test_the_page_does_not_reach_ray() -> None:
    """Not even the module that would import it."""
    reached, left = set(), {"app"}
    while left:
        reached |= left
        left = {there for module in left for there in imported_modules(module)} - reached
    assert "pipelines.workers.process" in reached
    assert not {"pipelines.workers.ray_cluster", "pipelines.workers.ray_crew"} & reached


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_with_sub_packages_holds_few_loose_modules(package: str) -> None:
    folder = MODULES[package].parent
    loose = [p.name for p in folder.glob("*.py") if p.name not in ("__init__.py", "__main__.py")]
    if any(folder.glob("*/__init__.py")):
        assert len(loose) <= MOST_LOOSE_MODULES, sorted(loose)


def test_a_public_class_name_stands_for_one_thing() -> None:
    places = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    twice = {name: where for name, where in places.items() if len(where) > 1 and name not in SAME_NAME}
    assert not twice
    assert len(SAME_NAME) <= 8
    assert all(len(places[name]) > 1 for name in SAME_NAME), "an exception that is none any more"


KINDS_OF_DEVICES = {"cpu", "cuda", "mps", "xpu"}
OF_ONE_KIND = {"is_cpu", "is_cuda", "is_mps", "is_xpu"}


def asks_for_a_kind(node: ast.AST) -> bool:
    """Whether a line compares the name of a kind of device, or uses what only one kind has."""

    def is_kind(value: ast.AST) -> bool:
        words = [each.value for each in ast.walk(value) if isinstance(each, ast.Constant)]
        return any(str(word).partition(":")[0] in KINDS_OF_DEVICES for word in words)

    match node:
        case ast.Compare():
            return is_kind(node)
        case ast.Call(func=ast.Attribute(attr="startswith" | "endswith")):
            return any(map(is_kind, node.args))
        case ast.MatchValue():
            return is_kind(node)
        case (
            ast.Attribute(value=ast.Name(id="torch"), attr=attr)
            | ast.Attribute(value=ast.Attribute(value=ast.Name(id="torch"), attr="backends"), attr=attr)
        ):
            return attr in KINDS_OF_DEVICES
        case ast.Attribute(attr=attr):
            return attr in OF_ONE_KIND
    return False


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ('device == "cuda"', True),
        ('x.device.type != "cpu"', True),
        ('name in ("mps", "cuda:0")', True),
        ('name.startswith("cuda")', True),
        ("x.is_cuda", True),
        ("torch.cuda.synchronize()", True),
        ("torch.backends.mps.is_available()", True),
        ('load(path, device="cpu")', False),
        ("torch.mean(x)", False),
        ("is_on_host(x.device)", False),
    ],
)
def test_what_asks_for_a_kind_of_device_is_seen(line: str, asks: bool) -> None:
    assert any(map(asks_for_a_kind, ast.walk(ast.parse(line)))) == asks


@pytest.mark.parametrize("module", sorted(name for name in MODULES if not name.startswith("memory.")))
def test_only_the_device_object_knows_kinds_of_devices(module: str) -> None:
    """Another kind, a simulated one too, would silently take the branch of the processor or of CUDA."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    lines = [node.lineno for node in ast.walk(tree) if asks_for_a_kind(node) and hasattr(node, "lineno")]
    assert not lines, f"ask memory.compute instead: lines {lines}"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("pipelines.")))
def test_networks_run_under_no_grad(module: str) -> None:
    """Under `inference_mode` views of a simulated device's tensors fail."""
    attributes = (node for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))))
    assert not any(isinstance(node, ast.Attribute) and node.attr == "inference_mode" for node in attributes)
