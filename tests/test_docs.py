"""The documentation is true: its pictures are what they claim, and what it names exists."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from cyclopts import App

import app as page
from docs import pictures
from pipelines import errors
from pipelines.cli.commands import make_app
from pipelines.inpainting.propainter.engine import schedule_of
from pipelines.settings import InpaintSettings
from presets.tiers import own_tiers

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
READMES = sorted(ROOT.glob("README*.md"))
PAGES = [*READMES, ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md"))]
MOST_README_LINES = 349
MOST_PICTURE_BYTES = 400_000

FOREIGN_FLAGS = {
    "--index-url": "pip",
    "--sdk": "deploy/space/front_matter.py",
    "--repo-type": "hf",
    **dict.fromkeys(
        ("--build", "--cap-drop", "--detach", "--read-only", "--rm", "--target", "--tmpfs", "--user"),
        "docker",
    ),
    **dict.fromkeys(("--from-file", "--namespace", "--replicas"), "kubectl"),
    "--ray": "tests/bench/bench_crew.py",
    "--exclude": "tar",
    **dict.fromkeys(
        ("--address", "--head", "--include-dashboard", "--node-ip-address", "--num-cpus", "--port"), "ray"
    ),
    "--json": "curl, and ours",
    "--most": "the campaigns of tests/faults",
    "--count": "the campaigns of tests/faults",
    "--only": "the campaigns of tests/faults",
}
"""Flags that the pages name and that belong to other programs."""

each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def shots() -> list[pictures.Shot]:
    return list(pictures.shots())


def test_the_mask_covers_the_kite_and_its_shadow_and_nothing_else(shots: list[pictures.Shot]) -> None:
    for shot in shots:
        changed = (shot.frame != shot.clean).any(axis=2)
        assert changed.any() and not (changed & ~shot.mask).any()
        assert changed.sum() > 0.9 * shot.mask.sum()


@pytest.mark.parametrize("depth", [0.0, 0.25, 0.5, 1.0])
def test_all_that_the_kite_hides_is_shown_by_another_frame(shots: list[pictures.Shot], depth: float) -> None:
    height, width = shots[0].mask.shape
    hidden = np.zeros((height, width + 400), bool)
    shown = np.zeros_like(hidden)
    for shot in shots:
        left = 100 + round(shot.camera.right + depth * shot.camera.way)
        hidden[:, left : left + width] |= shot.mask
        shown[:, left : left + width] |= ~shot.mask
    assert hidden.any() and not (hidden & ~shown).any()


def test_the_picture_is_drawn_by_the_real_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pictures, "FRAMES", 6)
    monkeypatch.setattr(pictures, "SHOWN", (1, 4))
    pictures.draw(tmp_path / "removed.jpg")
    drawn = cv2.imread(str(tmp_path / "removed.jpg"))
    assert drawn is not None and drawn.shape == cv2.imread(str(DOCS / "removed.jpg")).shape  # type: ignore[union-attr]
    above, below = drawn[:360].astype(int), drawn[-360:].astype(int)
    apart = np.abs(above - below).max(axis=2) > 60
    assert apart[:, :640].sum() > 5000, "the kite is in the upper row and gone from the lower one"
    assert not apart[320:].any(), "all else stays"


def test_pictures_are_small_enough_for_a_page_that_loads_fast() -> None:
    found = [path for path in DOCS.iterdir() if path.suffix in (".png", ".jpg")]
    assert found
    assert {path.name for path in found if path.stat().st_size > MOST_PICTURE_BYTES} == set()


# -- length, links -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_a_readme_is_short(path: Path) -> None:
    assert len(READMES) == 2
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_README_LINES


def anchors(path: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[str]:
    """Links to files of the project."""
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:", link)]


def dead_links(path: Path, text: str) -> list[str]:
    dead = []
    for link in links(text):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def test_a_dead_link_is_seen() -> None:
    text = (
        "![a](docs/none.png) [b](#none) [c](docs/cli.md#exit-codes) [d](docs/cli.md#none) [e](https://a.b/c)"
    )
    assert dead_links(ROOT / "README.md", text) == ["docs/none.png", "#none", "docs/cli.md#none"]


@each_page
def test_links_and_pictures_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert links(text), "each page leads back to a README"
    assert dead_links(path, text) == []


def test_each_page_and_picture_is_linked() -> None:
    linked = {
        (path.parent / link.partition("#")[0]).resolve()
        for path in PAGES
        for link in links(path.read_text(encoding="utf-8"))
    }
    there = {path for path in DOCS.iterdir() if path.suffix in (".md", ".png", ".jpg")}
    assert there <= linked


# -- commands, flags, files ----------------------------------------------------------------------------------


def subcommands(app: App) -> dict[str, App]:
    return {name: app[name] for name in app if not name.startswith("-")}


def flags(app: App) -> set[str]:
    """The flags of a command, or of its subcommands."""
    if app.default_command is None:
        return set().union(*map(flags, subcommands(app).values()))
    collection = app.assemble_argument_collection()
    return {name for argument in collection for name in argument.names if name.startswith("-")} | {"--help"}


COMMANDS = subcommands(make_app())
FLAGS = {name: flags(app) for name, app in COMMANDS.items()}
PAGE_FLAGS = flags(page.app)


def named_flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


def faults(text: str) -> Iterator[str]:
    """Commands and flags in `text` that the programs do not know."""
    for name, rest in re.findall(r"python -m pipelines\s+([a-z]+)([^\n`|]*)", text):
        if name not in COMMANDS:
            yield name
        else:
            yield from (f"{name} {flag}" for flag in sorted(named_flags(rest) - FLAGS[name]))
    for rest in re.findall(r"python app\.py([^\n`|]*)", text):
        yield from (f"app.py {flag}" for flag in sorted(named_flags(rest) - PAGE_FLAGS))
    known = set().union(*FLAGS.values(), PAGE_FLAGS, FOREIGN_FLAGS)
    yield from sorted(named_flags(text) - known)


def test_an_unknown_command_or_flag_is_seen() -> None:
    text = "`python -m pipelines paint` `python -m pipelines score --mask m` `python app.py --window` or `--nothing`"
    assert list(faults(text)) == ["paint", "score --mask", "app.py --window", "--nothing"]


OF_THE_PLUG_IN = {"plugins.md": ["inpaint --grey-level", "negate", "--grey-level"]}
"""What the plug-in that a page shows brings; the tests run it."""


@each_page
def test_commands_and_flags_exist(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == OF_THE_PLUG_IN.get(path.name, [])


def test_each_command_is_described() -> None:
    described = re.findall(
        r"^\| `([a-z]+)[^`]*`", (DOCS / "cli.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert described == [name for name in described if name in COMMANDS]
    assert set(described) == set(COMMANDS)


def missing_files(text: str) -> list[str]:
    """Files of the project that `text` names in code and that do not exist."""
    pattern = r"\b((?:tests|presets|docs|deploy|pipelines|ui|memory)/[\w./-]+|requirements[\w-]*\.txt)"
    return [name for name in re.findall(pattern, text) if not (ROOT / name).exists()]


def test_a_missing_file_is_seen() -> None:
    assert missing_files("`tests/bench/none.py` requirements.txt requirements-none.txt") == [
        "tests/bench/none.py",
        "requirements-none.txt",
    ]


@each_page
def test_files_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert missing_files(re.sub(r"\]\([^)]*\)", "", text)) == []


@each_page
def test_pinned_versions_are_those_of_the_requirements(path: Path) -> None:
    pinned = "".join(file.read_text(encoding="utf-8") for file in ROOT.glob("requirements*.txt"))
    for pin in re.findall(r"\b[\w-]+==[\w.]+", path.read_text(encoding="utf-8")):
        assert pin in pinned.split(), pin


@each_page
def test_environment_variables_exist(path: Path) -> None:
    code = "".join(source.read_text(encoding="utf-8") for source in sources())
    for name in re.findall(r"`((?:LONGTAKE|LIVE|GRADIO)_[A-Z_]+)`", path.read_text(encoding="utf-8")):
        assert f'"{name}"' in code, name


def sources() -> Iterable[Path]:
    return [ROOT / "app.py", *(ROOT / "pipelines").rglob("*.py"), *(ROOT / "ui").rglob("*.py")]


def test_the_api_page_explains_each_error_code() -> None:
    def codes(kind: type[errors.LongtakeError]) -> set[str]:
        return {kind.code}.union(
            *(codes(one) for one in kind.__subclasses__() if one.__module__ == errors.__name__)
        )

    table = (DOCS / "api.md").read_text(encoding="utf-8").split("| code |")[1]
    explained = {
        code for row in table.splitlines() for code in re.findall(r"`([a-z_]+)`", row.split(" | ")[0])
    }
    assert explained - {"estimate"} == codes(errors.LongtakeError) - {"some_failed"}, (
        "a folder is no job of the API"
    )


# -- the map -------------------------------------------------------------------------------------------------


def mapped(readme: str) -> dict[str, set[str]]:
    """The packages that the map names, and those inside each."""
    (block,) = re.findall(r"^```\n(app\.py .*?)^```", readme, re.MULTILINE | re.DOTALL)
    rooms: dict[str, set[str]] = {}
    for line in block.splitlines():
        if found := re.match(r"( *)(\w+)/ ", line):
            if not found[1]:
                rooms[found[2]] = set()
            else:
                rooms[list(rooms)[-1]].add(found[2])
    return rooms


def packages(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/__init__.py")}


def test_the_map_names_each_package_of_two_levels_and_no_other() -> None:
    rooms = mapped((ROOT / "README.md").read_text(encoding="utf-8"))
    assert rooms.pop("docs") == set()
    assert rooms == {name: packages(ROOT / name) for name in packages(ROOT) - {"tests"}}


# -- figures -------------------------------------------------------------------------------------------------


def test_the_table_of_scoring_shows_the_results_of_the_benchmark() -> None:
    def rows(path: Path, size: str) -> list[list[float]]:
        lines = re.findall(rf"^\| {size} \|(.*)\|$", path.read_text(encoding="utf-8"), re.MULTILINE)
        return [sorted(float(n) for n in re.findall(r"[\d.]+", line.replace(",", ""))) for line in lines]

    results = ROOT / "tests" / "bench" / "results" / "score.md"
    for size in ("854{}480", "1920{}1080"):
        measured = rows(results, size.format("x"))
        assert len(measured) == 2
        assert rows(DOCS / "measurements.md", size.format(" × ")) == measured


def test_what_a_lost_worker_costs_is_what_is_planned() -> None:
    """Segments and halo of the table in docs/workers.md are those of the presets and of ProPainter's schedule."""
    lines = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.count("|") == 6]
    rows = rows[next(i for i, row in enumerate(rows) if row[1].startswith("a segment")) + 2 :]
    assert len(rows) == 6
    tasks = {"score": "score", "removal": "inpaint", "portrait": "animate", "ProPainter": "inpaint"}
    tasks |= {"LivePortrait": "animate", "Q-Align": "score"}
    for engine, segment, halo, most, _ in rows:
        lengths = own_tiers().task(tasks[engine.partition(",")[0]]).length
        frames = [lengths[name].span_frames for name in ("short", "medium", "long")]
        told = [int(number) for number in re.findall(r"\d+", segment)]
        assert told == sorted(set(frames)), engine
        assert int(most.replace(",", "").split()[0]) == frames[-1] + int(halo or 0), engine
        if engine == "ProPainter":
            assert int(halo) == schedule_of(InpaintSettings(engine="propainter"), 10_000).halo
