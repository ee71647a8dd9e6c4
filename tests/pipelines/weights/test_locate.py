"""Where weights are found, and what is said where they are not."""

import json
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import anchor, find, own_folder, search_folders

ROOT = Path(__file__).parents[3]
PROPAINTER = {"raft-things.pth", "recurrent_flow_completion.pth", "ProPainter.pth"}


def put(folder: Path, *paths: str) -> Path:
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
    return folder


def put_shards(folder: Path, kind: str = "model.safetensors", *extras: str) -> Path:
    stem, suffix = kind.split(".")
    shards = [f"{stem}-0000{n}-of-00002.{suffix}" for n in (1, 2)]
    put(folder, "config.json", *shards, *extras)
    (folder / f"{kind}.index.json").write_text(json.dumps({"weight_map": {"a": shards[0], "b": shards[1]}}))
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of their own."""
    monkeypatch.setenv("LONGTAKE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LONGTAKE_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("LONGTAKE_WEIGHTS", raising=False)
    return tmp_path


def test_the_table_is_whole() -> None:
    for published in PUBLISHED.values():
        names = [file.name for file in published.files]
        assert len(names) == len(set(names)), "a file is known by its name alone"
        assert bool(published.address) != bool(published.repositories)
        assert published.licence.address.startswith("https://") and published.origin.startswith("https://")
        for file in published.files:
            assert file.sha256 is None or len(file.sha256) == 64
    assert not PUBLISHED["propainter"].licence.commercial


@pytest.mark.parametrize("layout", ["flat", "published", "below", "of the model"])
def test_a_folder_may_be_flat_or_have_the_published_layout(tmp_path: Path, layout: str) -> None:
    paths = [file.path for file in PUBLISHED["liveportrait"].files if file.needed]
    folder = put(
        tmp_path / "w" / ("liveportrait" if layout == "of the model" else ""),
        *(PurePosixPath(path).name if layout == "flat" else path for path in paths),
    )
    given = {"below": folder / "liveportrait", "of the model": tmp_path / "w"}.get(layout, folder)
    found = find("liveportrait", given)
    assert {name: path.read_text().split("/")[-1] for name, path in found.items()} == {
        name: name for name in found
    }
    assert len(found) == 5 and "landmark.onnx" not in found, "an extra may be missing"
    put(given if layout == "below" else folder, "landmark.onnx")
    assert "landmark.onnx" in find("liveportrait", given)


def test_a_folder_that_is_given_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everywhere = put(tmp_path / "everywhere", *PROPAINTER)
    monkeypatch.setenv("LONGTAKE_WEIGHTS", str(everywhere))
    assert set(find("propainter")) == PROPAINTER
    some = put(tmp_path / "some", "raft-things.pth", "ProPainter.pth.part")
    with pytest.raises(WeightsMissing) as told:
        find("propainter", some)
    assert "needs recurrent_flow_completion.pth and ProPainter.pth" in told.value.message
    assert str(some) in told.value.message
    assert f"weights propainter --fetch --weights {some}" in told.value.hint
    assert "https://github.com/sczhou/ProPainter" in told.value.hint


def hub(home: Path, repository: str, commit: str = "c0ffee") -> Path:
    kept = home / "hub" / f"models--{repository.replace('/', '--')}"
    put(kept, f"snapshots/{commit}/README.md", "refs/main")
    (kept / "refs" / "main").write_text(commit)
    return kept / "snapshots" / commit


def test_the_usual_places_in_their_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsMissing) as told:
        find("insightface")
    assert "det_10g.onnx and 2d106det.onnx, not found in any of the usual places" in told.value.message
    assert str(own_folder() / "insightface") in told.value.hint
    paths = [file.path for file in PUBLISHED["insightface"].files]
    ours = put(own_folder() / "insightface", *paths)
    assert all(path.is_relative_to(ours) for path in find("insightface").values())
    shared = put(hub(home, "KlingTeam/LivePortrait"), *paths)
    assert all(path.is_relative_to(shared) for path in find("insightface").values())
    named = put(home / "named", *paths)
    monkeypatch.setenv("LONGTAKE_WEIGHTS", str(named))
    assert all(path.is_relative_to(named) for path in find("insightface").values())
    assert search_folders("insightface")[0] == named


def test_a_place_with_half_of_it_does_not_keep_others_from_being_used(home: Path) -> None:
    put(hub(home, "KwaiVGI/LivePortrait"), PUBLISHED["insightface"].files[0].path)
    whole = put(own_folder(), *(file.name for file in PUBLISHED["insightface"].files))
    assert {path.parent for path in find("insightface").values()} == {whole}


def test_a_snapshot_without_a_branch_is_found_too(home: Path) -> None:
    folder = hub(home, "q-future/one-align")
    (folder.parents[1] / "refs" / "main").unlink()
    put_shards(folder)
    assert find("qalign")["config.json"].parent == folder


@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_shards_are_those_that_the_index_names(tmp_path: Path, kind: str) -> None:
    folder = put_shards(tmp_path / "w", kind, "tokens.json", "README.md")
    found = find("qalign", folder)
    assert set(found) == {p.name for p in folder.iterdir()} - {"README.md"}
    shard = next(name for name in found if "00002" in name)
    found[shard].unlink()
    with pytest.raises(WeightsMissing, match=f"needs {shard}, not found in"):
        find("qalign", folder)


def test_one_file_needs_no_index(tmp_path: Path) -> None:
    folder = put(tmp_path / "w", "config.json", "pytorch_model.bin")
    assert set(find("qalign", folder)) == {"config.json", "pytorch_model.bin"}
    with pytest.raises(
        WeightsMissing, match=r"config\.json and model\.safetensors\.index\.json with its shards"
    ):
        find("qalign", tmp_path)


@pytest.mark.parametrize(
    "index",
    [
        "{",
        "[]",
        '{"weight_map": 3}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": "../x"}}',
        '{"weight_map": {"a": 1}}',
    ],
)
def test_an_index_that_cannot_be_read_is_refused(tmp_path: Path, index: str) -> None:
    folder = put_shards(tmp_path / "w")
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(WeightsBroken, match="not a readable index of weights"):
        find("qalign", folder)


def test_a_folder_that_may_not_be_looked_into_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(WeightsMissing):
        find("propainter", tmp_path)


def test_a_relative_place_is_the_same_for_all_our_processes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home / "w", *PROPAINTER)
    monkeypatch.chdir(home)
    monkeypatch.setenv("LONGTAKE_WEIGHTS", "w")
    anchor()
    monkeypatch.chdir(ROOT)
    assert set(find("propainter")) == PROPAINTER


def test_looking_for_weights_loads_no_network() -> None:
    looks = (
        "import sys; from pipelines.engines import availability as engines; import pipelines.scheduler.queue\n"
        "import pipelines.cli.weights; from pipelines.settings import *\n"
        "engines.offers('inpaint', InpaintSettings()); engines.resolve('score', ScoreSettings())\n"
        "print('torch' in sys.modules, 'huggingface_hub.file_download' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", looks], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


# -- consent ---------------------------------------------------------------------------------------------------


def test_a_licence_is_accepted_once_and_remembered(home: Path) -> None:
    assert not licences.is_accepted("propainter")
    licences.accept("propainter")
    licences.accept("qalign")
    assert licences.is_accepted("propainter") and licences.is_accepted("qalign")
    assert not licences.is_accepted("liveportrait")
    kept = json.loads((home / "config" / "licences.json").read_text())
    assert kept["propainter"]["licence"] == PUBLISHED["propainter"].licence.name


@pytest.mark.parametrize(
    "kept", ["{", "[]", '{"propainter": true}', '{"propainter": {"licence": "another"}}']
)
def test_what_says_something_else_is_no_consent(home: Path, kept: str) -> None:
    put(home, "config/licences.json")
    (home / "config" / "licences.json").write_text(kept)
    assert not licences.is_accepted("propainter")
    licences.accept("propainter")
    assert licences.is_accepted("propainter")


def test_the_notice_is_one_line_with_the_licence_and_its_address() -> None:
    said = licences.notice("propainter")
    assert (
        "NTU S-Lab License 1.0, non-commercial use only" in said and "https://" in said and "\n" not in said
    )


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"LONGTAKE_CONFIG": "/c", "LONGTAKE_CACHE": "/d"}, ("/c", "/d/weights")),
        ({"XDG_CONFIG_HOME": "/x", "XDG_CACHE_HOME": "/y"}, ("/x/longtake", "/y/longtake/weights")),
        ({"HOME": "/h"}, ("/h/.config/longtake", "/h/.cache/longtake/weights")),
    ],
)
def test_where_things_are_kept(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: tuple[str, str]
) -> None:
    for name in ("LONGTAKE_CONFIG", "LONGTAKE_CACHE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (str(licences.consent_file().parent), str(own_folder())) == folder
