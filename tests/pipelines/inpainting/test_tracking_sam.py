"""The network tracker on a tiny network with random weights: what is loaded, streamed and forgotten."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import BadInput, WeightsMissing
from pipelines.inpainting import sam
from pipelines.inpainting.hints import Hint, Point
from pipelines.inpainting.sam import Segmenter, load_segmenter, track_by_network

from .moving import Clip, disc_clip

SIDE = 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of random weights, saved as a published one is."""
    transformers = pytest.importorskip("transformers", reason="needs requirements-track.txt")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }
    config = transformers.Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": backbone,
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
            "fpn_hidden_size": 128,
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE, "mask_input_channels": 8},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 32, "iou_head_hidden_dim": 32},
        image_size=SIDE,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
        num_maskmem=3,
        max_object_pointers_in_encoder=4,
    )
    place = tmp_path_factory.mktemp("sam")
    model = transformers.Sam2VideoModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    # An untrained network says that nothing is there.
    torch.nn.init.constant_(model.mask_decoder.pred_obj_score_head.proj_out.bias, 20.0)
    model.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> Segmenter:
    return load_segmenter(folder)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return disc_clip(14, lambda index: (40 + 4 * index, 68))


def test_a_saved_network_is_loaded(segmenter: Segmenter) -> None:
    assert segmenter.side_px == SIDE
    assert not segmenter.model.training


def test_every_frame_has_a_mask_in_order_the_same_each_time(segmenter: Segmenter, clip: Clip) -> None:
    x, y, width, height = clip.box(6)
    hints = [Hint(6, (x, y, width, height), (Point(x + 5, y + 15),)), Hint(10, points=(Point(80, 68),))]
    first, second = (list(track_by_network(segmenter, clip.frames_from, hints, 0, 14)) for _ in range(2))
    assert [item.frame for item in first] == list(range(14))
    assert all(item.mask.shape == (136, 240) and item.mask.dtype == bool for item in first)
    assert all(
        np.array_equal(a.mask, b.mask) and a.trust == b.trust for a, b in zip(first, second, strict=True)
    )
    assert all(item.lost == (item.trust == 0) for item in first)


def test_a_painted_mask_is_taken_as_it_is(segmenter: Segmenter, clip: Clip) -> None:
    found = list(track_by_network(segmenter, clip.frames_from, [Hint(3, mask=clip.truth[3])], 0, 6))
    assert np.array_equal(found[3].mask, clip.truth[3])


def test_hints_change_what_is_found(segmenter: Segmenter, clip: Clip) -> None:
    left, right = (
        list(track_by_network(segmenter, clip.frames_from, [Hint(0, box=box)], 0, 3))
        for box in ((5.0, 5.0, 40.0, 40.0), (120.0, 60.0, 100.0, 70.0))
    )
    assert any(not np.array_equal(a.mask, b.mask) for a, b in zip(left, right, strict=True))


def test_what_the_network_remembers_does_not_grow(
    segmenter: Segmenter, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[sam._Session] = []
    start = sam._Session.__init__

    def kept(self: sam._Session, *args: object, **more: object) -> None:
        start(self, *args, **more)
        sessions.append(self)

    monkeypatch.setattr(sam._Session, "__init__", kept)
    for hint in (0, 13):
        list(track_by_network(segmenter, clip.frames_from, [Hint(hint, box=clip.box(hint))], 0, 14))
    for session in sessions:
        inside = session._session
        outputs = inside.output_dict_per_obj[0]
        assert not inside.processed_frames
        assert len(outputs["cond_frame_outputs"]) == 1
        assert len(outputs["non_cond_frame_outputs"]) <= 4
        assert not any("high_res_masks" in output for kind in outputs.values() for output in kind.values())


def test_forgetting_changes_nothing(
    segmenter: Segmenter, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints = [Hint(4, box=clip.box(4))]
    bounded = list(track_by_network(segmenter, clip.frames_from, hints, 0, 14))
    monkeypatch.setattr(sam._Session, "_forget", lambda self, frame: None)
    whole = list(track_by_network(segmenter, clip.frames_from, hints, 0, 14))
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(bounded, whole, strict=True))
    assert all(0 < item.mask.mean() < 1 for item in whole)


def test_only_the_frames_asked_for_are_read(segmenter: Segmenter, clip: Clip) -> None:
    clip.read.clear()
    list(track_by_network(segmenter, clip.frames_from, [Hint(6, box=clip.box(6))], 4, 9))
    assert set(clip.read) == set(range(4, 9))


def test_hints_are_checked_before_anything_is_computed(clip: Clip) -> None:
    with pytest.raises(BadInput, match="outside the frames"):
        next(track_by_network(Segmenter(None, "cpu"), clip.frames_from, [Hint(99, box=clip.box(0))], 0, 14))


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(WeightsMissing, match="needs the package transformers") as error:
        load_segmenter()
    assert "requirements-track.txt" in error.value.hint


@pytest.fixture
def broken(tmp_path: Path, folder: Path) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_missing_weights_are_named_with_their_place(broken: Path) -> None:
    with pytest.raises(WeightsMissing, match="cannot be loaded from") as error:
        load_segmenter(broken)
    assert "model.safetensors" in error.value.hint
    assert "https://huggingface.co/facebook/sam2.1-hiera-tiny" in error.value.hint


def test_another_network_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(WeightsMissing, match="it is a bert"):
        load_segmenter(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(WeightsMissing, match="cannot be loaded from"):
        load_segmenter(tmp_path)
