"""SAM 2 on a tiny network with random weights: what is loaded, walked, remembered, forgotten, and by which command."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory.budget import Budget
from memory.devices import Device
from memory.probe import Hardware, Host
from memory.units import GIB
from pipelines import __main__ as command_line
from pipelines.engines.availability import resolve
from pipelines.errors import BadInput, WeightsBroken, WeightsMissing
from pipelines.inpainting.flow.engine import FlowEngine
from pipelines.inpainting.propainter.engine import ProPainterEngine
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime import planning
from pipelines.runtime.run import run_job
from pipelines.settings import InpaintSettings, Settings, TrackSettings
from pipelines.spans import Span
from pipelines.stages import Engine
from pipelines.tracking import sam2_model, sam2_passes, sam2_stages
from pipelines.tracking.fusion import Tracked
from pipelines.tracking.pipeline import TrackEngine
from pipelines.tracking.prompts import ObjectPrompt, Point
from pipelines.tracking.sam2_model import Segmenter, Session, find_segmenter, load_segmenter
from pipelines.tracking.sam2_passes import reversed_frames, track_pass
from pipelines.video.info import VideoInfo
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from presets.choose import Choice

from ..cli.in_process import run_commands_here
from ..mask_clips import encode
from .moving import Clip, disc_clip

SIDE = 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of random weights, saved as a published one is."""
    transformers = pytest.importorskip("transformers", reason="needs requirements-track.txt")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    # So small a network has nothing to share out.
    torch.set_num_threads(1)
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
    return disc_clip(16, lambda index: (40 + 4 * index, 68))


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new session at every fourth frame."""
    monkeypatch.setattr(sam2_passes, "RESTART_FRAMES", 4)


def same(first: list[Tracked], second: list[Tracked]) -> bool:
    return len(first) == len(second) and all(
        (a.frame, a.lost, a.confidence) == (b.frame, b.lost, b.confidence) and np.array_equal(a.mask, b.mask)
        for a, b in zip(first, second, strict=True)
    )


# -- walks ---------------------------------------------------------------------------------------------------


def test_every_frame_has_a_mask_in_order_the_same_each_time(segmenter: Segmenter, clip: Clip) -> None:
    x, y, width, height = clip.box(2)
    prompts = {
        2: ObjectPrompt(2, (x, y, width, height), (Point(x + 5, y + 15),)),
        7: ObjectPrompt(7, points=(Point(80, 68),)),
    }
    first, second = (list(track_pass(segmenter, clip.frames_from, prompts, 2, 2, 10)) for _ in range(2))
    assert [item.frame for item in first] == list(range(2, 10))
    assert all(item.mask.shape == (136, 240) and item.mask.dtype == bool for item in first)
    assert same(first, second)
    assert all(item.lost == (not item.mask.any()) == (item.confidence == 0) for item in first)
    assert any(0 < item.mask.mean() < 1 for item in first)


def test_a_painted_mask_is_taken_as_it_is_and_beside_a_box_it_is_a_part(
    segmenter: Segmenter, clip: Clip
) -> None:
    painted, box = clip.truth[3], clip.box(3)
    (alone,), (both,), (boxed,) = (
        list(track_pass(segmenter, clip.frames_from, {3: prompt}, 3, 3, 4))
        for prompt in (
            ObjectPrompt(3, mask=painted),
            ObjectPrompt(3, box, mask=painted),
            ObjectPrompt(3, box),
        )
    )
    assert np.array_equal(alone.mask, painted)
    assert not np.array_equal(both.mask, painted) and not np.array_equal(both.mask, boxed.mask)


def test_prompts_change_what_is_found(segmenter: Segmenter, clip: Clip) -> None:
    left, right = (
        list(track_pass(segmenter, clip.frames_from, {0: ObjectPrompt(0, box=box)}, 0, 0, 3))
        for box in ((5.0, 5.0, 40.0, 40.0), (120.0, 60.0, 100.0, 70.0))
    )
    assert any(not np.array_equal(a.mask, b.mask) for a, b in zip(left, right, strict=True))


@pytest.mark.usefixtures("posts")
@pytest.mark.parametrize("known", [True, False], ids=["kept", "nothing kept"])
def test_a_walk_is_the_same_from_any_start(segmenter: Segmenter, clip: Clip, known: bool) -> None:
    prompts = {1: ObjectPrompt(1, box=clip.box(1)), 7: ObjectPrompt(7, box=clip.box(7))}
    whole = list(track_pass(segmenter, clip.frames_from, prompts, 1, 1, 16))
    masks = {item.frame: item.mask for item in whole}

    def kept(frames: Span) -> list[np.ndarray] | None:
        return [masks[frame] for frame in range(frames.start, frames.stop)] if known else None

    for start, stop in ((1, 3), (5, 6), (8, 16)):
        clip.read.clear()
        part = list(track_pass(segmenter, clip.frames_from, prompts, 1, start, stop, kept))
        assert same(part, whole[start - 1 : stop - 1])
        if known and start == 8:
            assert set(clip.read) <= {1, 7, *range(3, 16)}, "it was entered at the post before"


@pytest.mark.usefixtures("posts")
def test_what_a_session_remembers_does_not_grow(
    segmenter: Segmenter, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[Session] = []
    start = Session.__init__

    def kept(self: Session, *args: object) -> None:
        start(self, *args)
        sessions.append(self)

    monkeypatch.setattr(Session, "__init__", kept)
    prompts = {frame: ObjectPrompt(frame, box=clip.box(frame)) for frame in (0, 1, 2, 3, 13, 15)}
    list(track_pass(segmenter, clip.frames_from, prompts, 0, 0, 12))
    assert [sorted(session._prompts) for session in sessions] == [[0, 1, 2, 3, 13], [2, 3, 13], [2, 3, 13]]
    for session in sessions:
        assert not session._session.processed_frames
        assert sorted(session._outputs["cond_frame_outputs"]) == sorted(session._prompts)
        assert len(session._outputs["non_cond_frame_outputs"]) <= 6
        outputs = [output for kind in session._outputs.values() for output in kind.values()]
        assert not any("high_res_masks" in output for output in outputs)


def test_forgetting_changes_nothing(
    segmenter: Segmenter, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = {0: ObjectPrompt(0, box=clip.box(0))}
    bounded = list(track_pass(segmenter, clip.frames_from, prompts, 0, 0, 12))
    monkeypatch.setattr(Session, "_drop_old", lambda self, frame: None)
    assert same(bounded, list(track_pass(segmenter, clip.frames_from, prompts, 0, 0, 12)))


def test_frames_are_turned_round_in_chunks(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam2_passes, "CHUNK_FRAMES", 4)
    frames = reversed_frames(clip.frames_from, Span(2, 16))
    assert [
        next(i for i, other in enumerate(clip.frames) if other is frame) for frame in frames(4, 14)
    ] == list(range(13, 3, -1))


# -- what is loaded ------------------------------------------------------------------------------------------


def test_a_saved_network_is_found_and_loaded_as_it_was_published(
    folder: Path, segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_segmenter(folder) == folder
    assert segmenter.side_px == SIDE and not segmenter.model.training
    (tmp_path / "sam2.1-hiera-tiny").symlink_to(folder)
    monkeypatch.setenv("LONGTAKE_WEIGHTS", str(tmp_path))
    assert find_segmenter() == tmp_path / "sam2.1-hiera-tiny"


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam2_model, "is_installed", lambda: False)
    with pytest.raises(WeightsMissing, match="needs the package transformers") as error:
        find_segmenter()
    assert "requirements-track.txt" in error.value.hint


def test_missing_weights_are_named_with_the_way_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sam2_model, "is_installed", lambda: True)
    with pytest.raises(WeightsMissing, match=r"config.json and model.safetensors, not found") as error:
        find_segmenter(tmp_path)
    assert "weights sam2 --fetch" in error.value.hint


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('{"model_type": "bert"}', "it describes a bert"),
        ("{}", "not a network config"),
        ("[", "not a network config"),
    ],
)
def test_another_network_is_refused(
    config: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sam2_model, "is_installed", lambda: True)
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsBroken, match=said):
        find_segmenter(tmp_path)


def test_weights_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors = load_file(folder / "model.safetensors")
    gone = next(name for name in tensors if "mask_decoder" in name)
    save_file({name: each for name, each in tensors.items() if name != gone}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsBroken, match="1 tensors are missing or have another shape"):
        load_segmenter(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(WeightsBroken, match="cannot be loaded"):
        load_segmenter(tmp_path)


HOST = Host(16 * GIB, 12 * GIB, 16 * GIB)
CARD = Device("cuda", 1, "Card", "GPU-1", 8 * GIB, 7 * GIB)


@pytest.mark.parametrize(
    ("asked", "devices", "device", "limit_gib"),
    [
        ({}, (), "cpu", None),
        ({"device": "cpu"}, (replace(CARD, index=0),), "cpu", None),
        ({"preset": "none"}, (replace(CARD, index=0),), "cpu", None),
        ({}, (replace(CARD, index=0), CARD), "cuda:0", None),
        ({"device": "cuda:1"}, (replace(CARD, index=0), CARD), "cuda:1", None),
        ({"preset": "4gb"}, (replace(CARD, index=0),), "cuda:0", 4),
        ({"vram_limit_gb": 2}, (replace(CARD, index=0),), "cuda:0", 2),
        ({"vram_limit_gb": 2, "preset": "4gb"}, (replace(CARD, index=0),), "cuda:0", 2),
        ({"device": "cuda:1"}, (), "There is no device cuda:1. No driver.", None),
        ({"device": "mps"}, (replace(CARD, index=0),), "There is no device mps. There are: cuda:0.", None),
    ],
)
def test_it_computes_where_the_engines_do_and_within_their_limits(
    asked: dict[str, Any],
    devices: tuple[Device, ...],
    device: str,
    limit_gib: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[tuple[int, str]] = []
    threads: list[int] = []
    reason = "" if devices else "No driver."
    monkeypatch.setattr(sam2_stages, "probe_hardware", lambda: Hardware(HOST, devices, reason))
    monkeypatch.setattr(sam2_stages, "limit_device", lambda *limit: limits.append(limit))
    monkeypatch.setattr(sam2_stages, "find_segmenter", lambda folder: folder)
    monkeypatch.setattr(sam2_stages, "load_segmenter", lambda folder, name: name)
    if device.startswith("There"):
        with pytest.raises(BadInput) as refused:
            sam2_stages.load_network(TrackSettings(**asked))
        assert refused.value.message == device and refused.value.hint
        return
    monkeypatch.setattr(sam2_stages, "fix_threads", threads.append)
    assert sam2_stages.load_network(TrackSettings(**asked), 3) == device
    assert threads == ([3] if device == "cpu" else [])
    assert limits == ([(limit_gib * GIB, device)] if limit_gib else [])


def test_the_weights_are_part_of_the_question_and_their_memory_of_the_plan(
    tmp_path: Path, video: Callable[..., VideoInfo]
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"a clip")
    (tmp_path / "config.json").write_text('{"model_type": "sam2_video"}')
    settings = TrackSettings(box=("1,2,30,40@0",), tracker="sam2", weights=tmp_path)
    ids = set()
    for content in (b"one", b"two"):
        (tmp_path / "model.safetensors").write_bytes(content)
        ids.add(ask(tmp_path / "jobs", "track", clip, settings).id)
    assert len(ids) == 2
    unmarked = TrackSettings(tracker="sam2", weights=tmp_path)
    assert resolve("track", unmarked).weights == (), "nothing is followed"
    built_in = settings.model_copy(update={"tracker": "builtin"})

    def held(engine: type[Engine], settings: Settings) -> float:
        choice = Choice("none", {"max_side_px": 640, "most_pixels": 10**6}, "As drawn.")
        _, cost = engine(video(), settings).fit(choice, Budget(16 * GIB), "cpu")
        return cost.host.fixed

    asked, other = (
        InpaintSettings(**each.model_dump(exclude={"engine"}), engine="flow") for each in (settings, built_in)
    )
    more = [
        held(TrackEngine, settings) - held(TrackEngine, built_in),
        held(FlowEngine, asked) - held(FlowEngine, other),
        held(ProPainterEngine, asked) - held(ProPainterEngine, other),
    ]
    assert all(difference > GIB for difference in more)


# -- jobs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """26 frames of a disc, 80 x 48, cut into spans of 10."""
    small = disc_clip(26, lambda index: (60 + 4 * index, 68))
    frames = [np.ascontiguousarray(frame[::2, ::2][:48, :80]) for frame in small.frames]
    return encode(tmp_path / "clip.mkv", frames, "-c:v", "ffv1", "-pix_fmt", "bgr0")


@pytest.fixture
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = planning.choose

    def shorter(*given: object, **more: object) -> object:
        choice = choose(*given, **more)
        return replace(choice, values={**choice.values, "span_frames": 10})

    monkeypatch.setattr(planning, "choose", shorter)
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)


def ask(folder: Path, task: str, film: Path, settings: Settings) -> Job:
    resolved = resolve(task, settings)
    return Job.create(folder, task, (film,), resolved.settings, 1, resolved.weights)


def run(job: Job, **more: object) -> events.Event:
    job.journal.append(events.Queued(job=job.id, task=job.record().task, name="clip"))
    run_job(job, **more)
    return [event for event, _ in job.journal.read()][-1]


def stop_after(looks: int) -> dict[str, Callable[[], bool]]:
    left = iter([False] * looks + [True] * 10**6)
    return {"closing": lambda: next(left)}


@pytest.mark.usefixtures("posts", "short_spans")
def test_a_job_that_was_stopped_is_the_same_and_its_masks_are_used_by_the_removal(
    folder: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrackSettings(box=("12,8,40,30@14",), tracker="sam2", weights=folder)
    whole, cut = (ask(tmp_path / name, "track", film, settings) for name in ("whole", "cut"))
    done = run(whole)
    assert isinstance(done, events.Done), done
    for looks in (7, 17, 26, 12):
        assert run(cut, **stop_after(looks)).type == "paused"
    again = run(cut)
    assert isinstance(again, events.Done), again
    for name in ("result", "mask", "scores", "report"):
        assert getattr(again.outputs, name).read_bytes() == getattr(done.outputs, name).read_bytes(), name
    assert probe(done.outputs.mask).frames == 26
    shares = [frame.luma().mean() for frame in read_frames(probe(done.outputs.mask))]
    assert any(0 < share < 255 for share in shares), "something was followed"

    def refuse(job: object) -> None:
        raise AssertionError("nothing is followed twice")

    monkeypatch.setattr(sam2_stages, "_load_network", refuse)
    asked = InpaintSettings(
        **settings.model_dump(exclude={"engine", "quality"}), engine="flow", quality="draft"
    )
    ending = run(ask(tmp_path / "whole", "inpaint", film, asked))
    assert isinstance(ending, events.Done), ending


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands are given; jobs run in this process."""
    run_commands_here(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_follows_by_the_network(folder: Path, film: Path, here: Path) -> None:
    prompt = ["--point", "30,20@0", "--point", "!2,2@0", "--end", "0.3"]
    asked = ["track", "clip.mkv", *prompt, "--tracker", "sam2", "--weights", str(folder), "-o", "film.mkv"]
    assert command_line.main(asked) == 0
    assert probe(here / "film.mkv").frames == 8
    (job,) = Job.all(here / "jobs")
    assert job.record().asked["tracker"] == "sam2"


@pytest.mark.parametrize("lacks", ["package", "weights"])
def test_a_command_that_lacks_something_ends_with_4_and_says_what_to_do(
    lacks: str, film: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sam2_model, "is_installed", lambda: lacks == "weights")
    weights = here / "weights"
    weights.mkdir()
    if lacks == "package":
        (weights / "config.json").write_text('{"model_type": "sam2_video"}')
        (weights / "model.safetensors").write_bytes(b"")
    asked = ["track", "clip.mkv", "--box", "12,8,40,30@0", "--tracker", "sam2", "--weights", str(weights)]
    assert command_line.main(asked) == 4
    told = capsys.readouterr().err.strip()
    assert ("requirements-track.txt" if lacks == "package" else "weights sam2 --fetch") in told
