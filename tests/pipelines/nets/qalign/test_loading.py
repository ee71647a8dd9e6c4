"""Loading Q-Align: layouts of files, places, bits, and everything that may be wrong with a file."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.nets.qalign import checkpoint
from pipelines.nets.qalign.checkpoint import Checkpoint
from pipelines.nets.qalign.config import PUBLISHED, group_of
from pipelines.nets.qalign.model import QAlign, inspect, load
from pipelines.nets.qalign.offload import OffloadedLayers
from pipelines.nets.qalign.quantization import Int4, Int8, Plain, matrix

INT8_APART, INT4_APART = 0.02, 0.25
"""How far scores of the tiny random network may move; measured 0.007 and 0.16."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(1))


def rate(model: QAlign, pixels: torch.Tensor) -> torch.Tensor:
    """Scores of each frame as a window of one, and of all as one window."""
    features = model.encode_frames(pixels)
    return torch.cat((model.scores(features), model.scores(features.flatten(0, 1)[None])))


@pytest.fixture(scope="module")
def known(tiny_qalign: Any, pixels: torch.Tensor) -> torch.Tensor:
    return rate(load(tiny_qalign.folder()), pixels)


@pytest.mark.parametrize(("kind", "shards"), [("bin", 1), ("safetensors", 1), ("safetensors", 3)])
def test_every_layout_of_files_gives_the_same(
    tiny_qalign: Any, pixels: torch.Tensor, known: torch.Tensor, tmp_path: Path, kind: str, shards: int
) -> None:
    folder = tiny_qalign.write(tmp_path / "w", tiny_qalign.tensors(), shards=shards, kind=kind)
    assert torch.equal(rate(load(folder), pixels), known)


def test_a_map_of_a_file_is_opened_again_after_some_bytes(
    tiny_qalign: Any, pixels: torch.Tensor, known: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    read = checkpoint.checkpoint.read
    monkeypatch.setattr(checkpoint.checkpoint, "read", lambda path: opened.append(path) or read(path))
    load(tiny_qalign.folder())
    usual = len(opened)
    monkeypatch.setattr(checkpoint, "MAPPED_BYTES", 20_000)
    assert torch.equal(rate(load(tiny_qalign.folder()), pixels), known)
    assert len(opened) > 2 * usual


def test_weights_are_kept_no_wider_than_they_are_stored(
    tiny_qalign: Any, pixels: torch.Tensor, known: torch.Tensor, tmp_path: Path
) -> None:
    tensors = {name: tensor.bfloat16() for name, tensor in tiny_qalign.tensors().items()}
    model = load(tiny_qalign.write(tmp_path / "w", tensors))
    layer = next(model.language.layers.in_order())
    assert layer.self_attn.q_proj.weight.dtype == torch.bfloat16
    assert model.vision.post_layernorm.weight.dtype == model.levels.dtype == torch.float32
    wide = load(tiny_qalign.write(tmp_path / "wide", {name: t.float() for name, t in tensors.items()}))
    assert torch.equal(rate(model, pixels), rate(wide, pixels))
    assert (rate(model, pixels) - known).abs().max() < 0.05


@pytest.mark.parametrize("place", ["host", "disk"])
@pytest.mark.parametrize("quant", [None, "int8", "int4"])
def test_where_layers_wait_changes_nothing(
    tiny_qalign: Any, pixels: torch.Tensor, place: Any, quant: Any
) -> None:
    here, there = (load(tiny_qalign.folder(), quant=quant, place=each) for each in ("device", place))
    assert torch.equal(rate(here, pixels), rate(there, pixels))


def test_fewer_bits_move_scores_within_what_is_stated(
    tiny_qalign: Any, pixels: torch.Tensor, known: torch.Tensor
) -> None:
    moved = {}
    for quant in ("int8", "int4"):
        moved[quant] = float((rate(load(tiny_qalign.folder(), quant=quant), pixels) - known).abs().max())
    assert 0 < moved["int8"] < INT8_APART
    assert moved["int8"] < moved["int4"] < INT4_APART


def held(module: torch.nn.Module) -> int:
    return sum(tensor.nbytes for tensor in module.buffers())


def test_packed_matrices_are_near_and_small() -> None:
    weight = torch.randn(48, 128, generator=torch.Generator().manual_seed(0)) / 10
    weight[3], weight[5, :64] = 0.0, 7.0
    eye = torch.eye(128)
    for bits, quant in ((8, "int8"), (4, "int4")):
        packed: Any = matrix(128, 48, torch.float32, quant)  # type: ignore[arg-type]
        packed.fill(weight)
        found = packed(eye).T
        groups = weight.unflatten(1, (-1, 128 if bits == 8 else group_of(128)))
        spread = groups.abs().amax(2) / 127 if bits == 8 else (groups.amax(2) - groups.amin(2)) / 15
        assert torch.all(
            (found - weight).unflatten(1, groups.shape[1:]).abs().amax(2)
            <= 0.51 * spread + 4e-3 * (bits == 4)
        )
        assert held(packed) <= weight.numel() * bits / 8 * 1.15
        assert torch.equal(found[3], torch.zeros(128))


def test_packing_some_rows_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    for kind in (Int8, Int4):
        whole, parts = kind(64, 40), kind(64, 40)
        whole.fill(weight)
        with monkeypatch.context() as patch:
            patch.setattr("pipelines.nets.qalign.quantization._AT_ONCE", 64 * 7)
            parts.fill(weight)
        assert all(torch.equal(a, b) for a, b in zip(whole.buffers(), parts.buffers(), strict=True))


def test_a_matrix_of_an_odd_width_has_8_bits_for_4() -> None:
    assert isinstance(matrix(63, 8, torch.float32, "int4"), Int8)
    assert isinstance(matrix(64, 8, torch.float32, "int4"), Int4)
    assert isinstance(matrix(63, 8, torch.float32, None), Plain)
    with pytest.raises(ValueError, match="63 columns"):
        Int4(63, 8)


# -- what may be wrong ---------------------------------------------------------------------------------------

Change = Callable[[dict[str, torch.Tensor]], object]
A_NORM = "model.layers.1.post_attention_layernorm.multiway.1.weight"

BROKEN: dict[str, tuple[Change, str]] = {
    "missing": (lambda t: t.pop(A_NORM), "Missing tensors in Q-Align's weights: 1, such as model.layers.1"),
    "extra": (
        lambda t: t.update({"model.more.weight": torch.ones(2)}),
        "Unknown tensors in Q-Align's weights: 1, such as model.more",
    ),
    "shape": (
        lambda t: t.update({A_NORM: torch.ones(63)}),
        r"multiway\.1\.weight has the shape \(63,\) instead of \(64,\)",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_names_and_shapes_are_checked_before_anything_is_loaded(
    tiny_qalign: Any, tmp_path: Path, fault: str
) -> None:
    change, words = BROKEN[fault]
    tensors = tiny_qalign.tensors()
    change(tensors)
    folder = tiny_qalign.write(tmp_path / "w", tensors)
    with pytest.raises(WeightsBroken, match=words):
        inspect(folder)


def test_tables_that_older_programs_stored_are_passed_over(tiny_qalign: Any, tmp_path: Path) -> None:
    tensors = tiny_qalign.tensors()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    inspect(tiny_qalign.write(tmp_path / "w", tensors))


@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "lm_head.weight"])
def test_numbers_that_are_none_are_refused(tiny_qalign: Any, tmp_path: Path, name: str) -> None:
    tensors = tiny_qalign.tensors()
    tensors[name][tiny_qalign.manifest["tokens"]["levels"][0], 5] = torch.nan
    folder = tiny_qalign.write(tmp_path / "w", tensors)
    with pytest.raises(WeightsBroken, match=rf"{name}.* not finite"):
        load(folder)


def test_a_fault_that_is_met_while_layers_are_brought_is_told(
    tiny_qalign: Any, tmp_path: Path, pixels: torch.Tensor
) -> None:
    folder = tiny_qalign.write(tmp_path / "w", tiny_qalign.tensors())
    model = load(folder, place="disk")
    rate(model, pixels)
    (folder / "pytorch_model-00001-of-00002.bin").unlink()
    with pytest.raises(WeightsBroken, match="00001-of-00002"):
        rate(model, pixels)


def test_leaving_early_ends_the_thread_that_brings() -> None:
    brought: list[int] = []
    layers = OffloadedLayers(9, lambda: object(), lambda slot, i: brought.append(i), torch.device("cpu"))  # type: ignore[arg-type,return-value]
    walk = layers.in_order()
    first, second = next(walk), next(walk)
    assert first is not second
    walk.close()
    assert brought == [0, 1, 2]
    assert len(list(layers.in_order())) == 9
    assert brought == [0, 1, 2, *range(9)]


def spoil(path: Path, text: str) -> None:
    path.write_text(text)


FILES: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), WeightsMissing, "config.json"),
    "config no JSON": (lambda f: spoil(f / "config.json", "{"), WeightsBroken, "not readable JSON"),
    "config no table": (
        lambda f: spoil(f / "config.json", "[]"),
        WeightsBroken,
        "does not hold a JSON object",
    ),
    "other network": (
        lambda f: spoil(f / "config.json", '{"num_key_value_heads": 8}'),
        WeightsBroken,
        "as many key heads as heads",
    ),
    "nested is no table": (
        lambda f: spoil(f / "config.json", '{"visual_config": {"visual_model": 3}}'),
        WeightsBroken,
        "not Q-Align",
    ),
    "visual is no table": (
        lambda f: spoil(f / "config.json", '{"visual_config": 3}'),
        WeightsBroken,
        "parts are not objects",
    ),
    "tokens incomplete": (
        lambda f: spoil(f / "tokens.json", '{"prefix": [1]}'),
        WeightsBroken,
        "suffix and levels",
    ),
    "tokens empty": (
        lambda f: spoil(f / "tokens.json", '{"prefix": [], "suffix": [1], "levels": [1, 2, 3, 4, 5]}'),
        WeightsBroken,
        "5 levels",
    ),
    "tokens unknown": (
        lambda f: spoil(f / "tokens.json", '{"prefix": [1], "suffix": [96], "levels": [1, 2, 3, 4, 5]}'),
        WeightsBroken,
        "vocabulary only 96",
    ),
    "a shard is missing": (
        lambda f: (f / "pytorch_model-00002-of-00002.bin").unlink(),
        WeightsMissing,
        "00002-of-00002.bin is missing beside",
    ),
    "no weights": (
        lambda f: [path.unlink() for path in f.glob("pytorch*")],
        WeightsMissing,
        "no weights of Q-Align",
    ),
    "index is none": (
        lambda f: spoil(f / "pytorch_model.bin.index.json", "{}"),
        WeightsBroken,
        "not a readable index",
    ),
    "truncated": (
        lambda f: (p := f / "pytorch_model-00001-of-00002.bin").write_bytes(p.read_bytes()[:5000]),
        WeightsBroken,
        "00001-of-00002",
    ),
    "no tensors": (
        lambda f: torch.save({"a": [1]}, f / "pytorch_model-00001-of-00002.bin"),
        WeightsBroken,
        "more than weights",
    ),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_folder_that_is_not_right_is_told(tiny_qalign: Any, tmp_path: Path, fault: str) -> None:
    change, kind, words = FILES[fault]
    folder = tiny_qalign.write(tmp_path / "w", tiny_qalign.tensors())
    change(folder)
    with pytest.raises(kind, match=words) as told:
        inspect(folder)
    assert told.value.exit_code == 4 and told.value.hint  # type: ignore[attr-defined]


def test_an_index_that_tells_of_other_tensors_is_refused(tiny_qalign: Any, tmp_path: Path) -> None:
    folder = tiny_qalign.write(tmp_path / "w", tiny_qalign.tensors())
    path = folder / "pytorch_model.bin.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["lm_head.weight"] = "pytorch_model-00001-of-00002.bin"
    path.write_text(json.dumps(index))
    with pytest.raises(WeightsBroken, match=r"does not hold lm_head\.weight"):
        inspect(folder)


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("pytorch_model-1.bin", "pytorch_model-2.bin"):
        torch.save({"a": torch.ones(1)}, tmp_path / name)
    with pytest.raises(WeightsBroken, match="another file"):
        Checkpoint({path.name: path for path in tmp_path.iterdir()})


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="not a readable folder"):
        load(tmp_path / "nowhere")


def test_a_grid_that_is_left_out_is_that_of_the_patches(tiny_qalign: Any, tmp_path: Path) -> None:
    folder = tiny_qalign.write(tmp_path / "w", tiny_qalign.tensors())
    told = json.loads((folder / "config.json").read_text())
    told["visual_config"]["visual_abstractor"]["grid_size"] = None
    (folder / "config.json").write_text(json.dumps(told))
    assert inspect(folder)[0].abstractor.grid == 4


def test_the_published_ids_count_where_the_folder_says_nothing(tiny_qalign: Any, tmp_path: Path) -> None:
    folder = tiny_qalign.write(tmp_path / "w", tiny_qalign.tensors())
    (folder / "tokens.json").unlink()
    with pytest.raises(WeightsBroken, match="token ids up to 29973, the vocabulary only 96"):
        inspect(folder)
    assert max(PUBLISHED.levels) < 32000
