"""Q-Align against the published implementation, at a tiny size; tolerances are those of the goldens."""

import json
import math
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.nets.qalign.abstractor import position_tables
from pipelines.nets.qalign.config import (
    PUBLISHED,
    AbstractorSizes,
    Config,
    LanguageSizes,
    Prompt,
    VisionSizes,
)
from pipelines.nets.qalign.language import FRAMES, TEXT, Prefix, rotated, rotation
from pipelines.nets.qalign.model import QAlign, expected_shapes, load
from pipelines.nets.qalign.vision import normalised


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def golden(shared: Any) -> Any:
    def read(name: str) -> dict[str, Any]:
        arrays = np.load(shared / f"parity/qalign/{name}.npz")
        return {key: torch.from_numpy(arrays[key]) if arrays[key].ndim else arrays[key] for key in arrays}

    return read


@pytest.fixture(scope="module")
def model(tiny_qalign: Any) -> QAlign:
    return load(tiny_qalign.folder())


def apart(found: torch.Tensor, known: torch.Tensor) -> float:
    assert found.shape == known.shape
    return float((found - known).abs().max())


def test_vision(model: QAlign, golden: Any) -> None:
    known = golden("vision")
    hidden = model.vision.embeddings(known["pixel_values"])
    assert apart(hidden, known["after_pre_layernorm"]) <= 1e-5
    layer = model.vision.encoder.layers[0]
    assert apart(layer.self_attn(layer.input_layernorm(hidden)), known["layer0_attention_output"]) <= 1e-5
    for layer, output in zip(model.vision.encoder.layers, known["layer_outputs"], strict=True):
        hidden = layer(hidden)
        assert apart(hidden, output) <= 1e-5
    assert apart(model.vision(known["pixel_values"]), known["last_hidden_state"]) <= 1e-5


@pytest.mark.parametrize("size", ["", "small_"])
def test_abstractor(model: QAlign, golden: Any, size: str) -> None:
    known = golden("abstractor")
    seen = known[f"{size}encoder_hidden_states"]
    assert apart(model.abstractor(seen), known[f"{size}last_hidden_state"]) <= 1.5e-5
    if not size:
        part = model.abstractor.encoder.layers[0].crossattention
        queries = part.norm1(model.abstractor.query_embeds.expand(len(seen), -1, -1))
        assert apart(part.attention(queries, part.normk(seen)), known["layer0_context"]) <= 1.5e-5


def test_place_tables_by_formula(golden: Any) -> None:
    known = golden("pos_tables")
    for table, name in zip(
        position_tables(AbstractorSizes(hidden_size=48, grid_size=4, num_learnable_queries=5)),
        "qk",
        strict=True,
    ):
        assert apart(table, known[f"tiny_{name}"]) <= 2e-5
    for table, name in zip(position_tables(AbstractorSizes()), "qk", strict=True):
        assert apart(table[known[f"full_{name}_rows"]], known[f"full_{name}"]) <= 2e-5
        assert float(table.double().sum()) == pytest.approx(float(known[f"full_{name}_sum"]), abs=0.05)


def test_a_file_without_place_tables_has_them_by_formula(
    tiny_qalign: Any, golden: Any, tmp_path: Any
) -> None:
    known = golden("formula_tables")
    tensors = tiny_qalign.tensors(int(known["weight_seed"]))
    left = {name: tensor for name, tensor in tensors.items() if "pos_embed" not in name}
    assert len(left) < len(tensors)
    model = load(tiny_qalign.write(tmp_path / "w", left))
    features = model.encode_frames(known["pixel_values"])
    assert apart(features, known["image_features"]) <= 2e-5
    rows = torch.stack([features[window].flatten(0, 1) for window in known["window_index"]])
    assert apart(model.level_logits(rows), known["levels"]) <= 3e-5
    assert apart(model.scores(rows), known["score"]) <= 5e-6


def runs_of(kinds: Any) -> tuple[tuple[int, int], ...]:
    return tuple((len(list(group)), kind) for kind, group in groupby(kinds.tolist()))


@pytest.mark.parametrize("size", ["", "small_"])
def test_a_layer_of_mixed_kinds(model: QAlign, golden: Any, size: str) -> None:
    known = golden("decoder_layer")
    layer = next(model.language.layers.in_order())
    turned = rotation(model.config.language, known["modality"].shape[1], torch.float32, torch.device("cpu"))
    for i, kinds in enumerate(known["modality"]):
        hidden, runs = known[f"{size}hidden_states"][i : i + 1], runs_of(kinds)
        after, (keys, values) = layer(hidden, runs, turned, None, last_only=False)
        assert apart(after[0], known[f"{size}output"][i]) <= 1e-5
        last, _ = layer(hidden, runs, turned, None, last_only=True)
        assert apart(last[0], known[f"{size}output"][i, -1:]) <= 1e-5
        if not size:
            normed = layer.input_layernorm(hidden, runs)
            assert apart(normed[0], known["input_norm"][i]) <= 1e-5
            assert apart(layer.self_attn.k_proj(normed, runs)[0], known["key"][i]) <= 1e-5
            assert apart(keys[0], known["key_rotated"][i]) <= 1e-5
            assert apart(values[0].transpose(0, 1).flatten(1), known["value"][i]) <= 1e-5
            queries = layer.self_attn.q_proj(normed).unflatten(2, (4, -1)).transpose(1, 2)
            assert apart(rotated(queries, turned)[0], known["query_rotated"][i]) <= 1e-5
            attended = layer.self_attn(normed, (keys, values), turned)
            assert apart(attended[0], known["attention_output"][i]) <= 1e-5


def test_features(model: QAlign, golden: Any) -> None:
    known = golden("forward")
    assert apart(model.encode_frames(known["pixel_values"]), known["image_features"]) <= 2e-5


CASES = [
    "single",
    "images_batch",
    *(f"windows{w}" for w in (2, 3, 5)),
    *(f"window{w}_alone" for w in (2, 3, 5)),
]


@pytest.mark.parametrize("case", [*CASES, "window_repeat"])
def test_windows(model: QAlign, golden: Any, case: str) -> None:
    known = golden("forward")
    width = case.removeprefix("windows").removeprefix("window").removesuffix("_alone")
    indices: Any = {"single": [[0]], "images_batch": [[0], [1], [2]], "window_repeat": [[0, 0, 0], [0, 0, 1]]}
    index = indices[case] if case in indices else known[f"windows{width}_index"].tolist()
    index = index[:1] if case.endswith("alone") else index
    rows = torch.stack([known["image_features"][window].flatten(0, 1) for window in index])
    assert apart(model.level_logits(rows), known[f"{case}_levels"]) <= 3e-5
    assert apart(model.scores(rows), known[f"{case}_score"]) <= 5e-6


def whole_pass(model: QAlign, tensors: Any, ids: list[int], images: list[torch.Tensor]) -> torch.Tensor:
    """Logits of all words at all tokens, without any shortcut."""
    pieces, runs, waiting = [], [], iter(images)
    for is_image, group in groupby(ids, lambda each: each < 0):
        for _ in group if is_image else ():
            pieces.append(next(waiting))
            runs.append((len(pieces[-1]), FRAMES))
        if not is_image:
            pieces.append(tensors["model.embed_tokens.weight"][list(group)])
            runs.append((len(pieces[-1]), TEXT))
    hidden = torch.cat(pieces)[None]
    turned = rotation(model.config.language, hidden.shape[1], hidden.dtype, hidden.device)
    for layer in model.language.layers.in_order():
        hidden, _ = layer(hidden, tuple(runs), turned, None, last_only=False)
    return model.language.norm(hidden) @ tensors["lm_head.weight"].T


def test_every_word_at_every_token(model: QAlign, tiny_qalign: Any, golden: Any) -> None:
    known, tensors = golden("forward"), tiny_qalign.tensors()
    logits = whole_pass(model, tensors, known["input_ids"].tolist(), [known["image_features"][0]])
    assert apart(logits, known["single_logits_all"]) <= 3e-5


def test_a_prompt_with_two_places_for_frames(model: QAlign, tiny_qalign: Any, golden: Any) -> None:
    known, tensors = golden("forward"), tiny_qalign.tensors()
    images = [known["image_features"][:2].flatten(0, 1), known["image_features"][2]]
    logits = whole_pass(model, tensors, known["two_token_input_ids"].tolist(), images)
    assert apart(logits[:, -1], known["two_token_logits_last"]) <= 3e-5


def test_a_batch_equals_its_windows_and_the_kept_prefix_changes_nothing(model: QAlign, golden: Any) -> None:
    features = golden("forward")["image_features"]
    rows = torch.stack([features[i : i + 3].flatten(0, 1) for i in range(6)])
    prompt = Prompt((1, 31, 12), (29, 13))
    assert prompt not in model._prompts
    first = model.level_logits(rows, prompt)
    assert apart(model.level_logits(rows, prompt), first) <= 1e-6
    for i in range(6):
        assert apart(model.level_logits(rows[i : i + 1], prompt), first[i : i + 1]) <= 1e-5


def test_a_prompt_may_be_asked_for_in_several_ways(model: QAlign, tiny_qalign: Any, golden: Any) -> None:
    features, tokens = golden("forward")["image_features"][:2], tiny_qalign.manifest["tokens"]
    known = model.level_logits(features)
    for same in ((tokens["prefix"], tokens["suffix"]), [*tokens["prefix"], -200, *tokens["suffix"]]):
        assert torch.equal(model.level_logits(features, same), known)
    for none in ("beauty", [1, 2, 3], [-200, 1], [1, -200], [1, -200, 2, -200, 3], ((1,), ())):
        with pytest.raises(ValueError, match="prompt"):
            model.level_logits(features, none)


def test_a_prefix_that_stopped_half_way_goes_on_where_it_was(model: QAlign, golden: Any) -> None:
    features = golden("forward")["image_features"][:1]
    whole = model.level_logits(features)
    prefix, after = model._prompt("video_quality")
    runs = ((features.shape[1], FRAMES), (after.shape[1], TEXT))
    begun = Prefix(model._words(model._tokens.prompts["video_quality"].before))
    turned = rotation(model.config.language, begun.hidden.shape[1], torch.float32, torch.device("cpu"))
    layer = next(model.language.layers.in_order())
    begun.hidden, known = layer(begun.hidden, ((begun.hidden.shape[1], TEXT),), turned, None, last_only=False)
    begun.known.append(known)
    last = model.language(torch.cat((features, after), 1), runs, begun)
    assert apart(last @ model.levels.T, whole) <= 1e-6
    assert len(begun.known) == len(prefix.known) == 3


def test_pixels_are_as_published(golden: Any) -> None:
    known = golden("preprocess")
    for name in ("land", "port", "square"):
        pixels = normalised(known[f"{name}_resized56"][None])[0]
        assert apart(pixels, known[f"{name}_pixel56"]) <= 1e-6


def test_published_sizes_are_the_defaults(shared: Any) -> None:
    manifest = json.loads((shared / "parity/qalign/one-align.manifest.json").read_text())
    config = Config()
    shapes = expected_shapes(config)
    assert shapes == {name: tuple(entry["shape"]) for name, entry in manifest["tensors"].items()}
    assert config.weights == manifest["parameters"] == 8_197_859_328
    assert config.vision == VisionSizes.model_validate(manifest["config"]["vision"])
    assert config.abstractor == AbstractorSizes.model_validate(manifest["config"]["abstractor"])
    text = LanguageSizes.model_validate(manifest["config"]["text"])
    assert config.language == text.model_copy(update={"kv_heads": None})


def test_weights_are_counted_as_they_are(tiny_qalign: Any) -> None:
    sizes = tiny_qalign.manifest["config"]
    config = Config(
        vision=VisionSizes.model_validate(sizes["vision"]),
        abstractor=AbstractorSizes.model_validate(sizes["abstractor"]),
        language=LanguageSizes.model_validate(sizes["text"]),
    )
    counted = {name: math.prod(shape) for name, shape in expected_shapes(config).items()}
    assert config.weights == sum(count for name, count in counted.items() if "pos_embed" not in name)
    assert config.seen_weights == sum(count for name, count in counted.items() if ".vis" in name)


def test_prompts_have_the_published_lengths() -> None:
    lengths = {task: tuple(map(len, prompt)) for task, prompt in PUBLISHED.prompts.items()}
    assert lengths == {"video_quality": (15, 12), "image_quality": (15, 12), "image_aesthetics": (18, 15)}
    video, image = PUBLISHED.prompts["video_quality"], PUBLISHED.prompts["image_quality"]
    assert {a for a, b in zip(sum(video, ()), sum(image, ()), strict=True) if a != b} == {4863}
