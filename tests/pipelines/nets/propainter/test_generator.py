from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.errors import WeightsBroken
from pipelines.nets.kernels.upsample import Region
from pipelines.nets.propainter import generator, transformer
from pipelines.nets.propainter.generator import (
    InpaintGenerator,
    hole,
    load_generator,
    quarter_flows,
    quarter_masks,
)
from pipelines.nets.propainter.transformer import Grid, Windows, masked_windows, needed

Golden = dict[str, Tensor]


@pytest.fixture(scope="module")
def network(propainter_weights: Callable[[str], Path]) -> InpaintGenerator:
    return load_generator(propainter_weights("ProPainter"))


class Window:
    """A window of a golden file, ready for the network."""

    def __init__(self, golden: Golden, network: InpaintGenerator) -> None:
        self.golden, self.local = golden, int(golden["l_t"])
        self.frames = golden["frames"].permute(0, 3, 1, 2) / 255 * 2 - 1
        self.masks, self.updated = golden["mask"][:, None], golden["updated_mask"][:, None]
        self.flows = quarter_flows(golden["flow_fwd"]), quarter_flows(golden["flow_bwd"])
        self.encoded = network.encode(self.frames, self.masks, self.updated)
        self.painted = self.paint(network)

    def paint(self, network: InpaintGenerator, **how: bool) -> Tensor:
        masks, updated = self.masks[: self.local], self.updated[: self.local]
        kind = network.ss.embedding.weight.dtype
        return network.paint(self.encoded.to(kind), masks, updated, *self.flows, **how)


@pytest.fixture(scope="module")
def small(propainter_golden: Callable[[str], Golden], network: InpaintGenerator) -> Window:
    return Window(propainter_golden("generator_small"), network)


@pytest.fixture(scope="module")
def wide(propainter_golden: Callable[[str], Golden], network: InpaintGenerator) -> Window:
    return Window(propainter_golden("generator_wide"), network)


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max())


def test_golden_features(small: Window, network: InpaintGenerator) -> None:
    golden, local = small.golden, small.local
    assert off(small.encoded[:2, ::2], golden["enc_feat"]) < 1e-4
    propagation = network.feat_prop_module
    passes: dict[str, list[Tensor]] = {}
    carried = propagation._carried

    def watched(name: str, visits: object) -> list[Tensor]:
        passes[name] = carried(name, visits)  # type: ignore[arg-type]
        return passes[name]

    regions = quarter_masks(torch.cat((small.masks, small.updated), 1))[:local]
    aligned: list[Tensor] = []
    hook = propagation.deform_align["backward_1"].register_forward_hook(lambda *call: aligned.append(call[2]))
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(propagation, "_carried", watched)
        found = torch.cat(propagation(small.encoded[:local], regions, *small.flows))
    hook.remove()
    assert off(aligned[0][0, ::4], golden["dcn_first_bwd_step"]) < 1e-4
    backward = torch.cat(passes["backward_1"])  # in place, from the first frame on
    assert off(backward[:2, ::4], golden["backward_feat"]) < 1e-4
    assert off(found[:2, ::2], golden["local_feat"]) < 1e-4


def test_golden_transformer(small: Window, network: InpaintGenerator) -> None:
    golden, steps = small.golden, {}
    blocks = network.transformers.transformer

    def keep(name: str) -> Callable[..., None]:
        return lambda _, given, result: steps.update({name: (given, result)})

    hooks = [network.ss.register_forward_hook(lambda *call: steps.setdefault("ss", []).append(call[2]))]
    hooks += [blocks[0].mlp.register_forward_hook(lambda *call: steps.setdefault("mlp", []).append(call[2]))]
    attention = blocks[0].attention
    learnt: list[Tensor] = []
    for number in (0, 1, 7):
        hooks.append(
            blocks[number].register_forward_hook(
                lambda _, given, __, number=number: steps.update({number: given[0].clone()})
            )
        )
    hooks.append(attention.proj.register_forward_hook(lambda *call: learnt.append(call[2])))
    small.paint(network)
    for hook in hooks:
        hook.remove()
    assert off(torch.cat(steps["ss"])[..., ::8], golden["ss_tokens"]) < 1e-4
    assert off(torch.cat(learnt)[..., ::8], golden["attn0"]) < 1e-4
    assert off(torch.cat(steps["mlp"]).flatten(1, 2)[..., ::8], golden["mlp0"]) < 1e-4
    assert off(steps[0][..., ::8], golden["block0"]) < 1e-4
    assert off(steps[1][..., ::8], golden["block1"]) < 1e-4
    local = small.local
    assert off(steps[7][:local, ..., ::8], golden["block7"][:local]) < 1e-4
    whole = Region.whole(*small.encoded.shape[2:])
    with torch.inference_mode():
        assert off(network.sc(steps[7][:2], whole)[:, ::4], golden["sc_out"]) < 1e-4


def test_golden_windows(small: Window, wide: Window) -> None:
    for window, expected in ((small, 2), (wide, 1)):
        assert window.painted.shape == window.golden["output"].shape
        assert off(window.painted, window.golden["output"]) < 1e-4
        height, width = window.encoded.shape[2:]
        grid = Grid((height - 1) // 3 + 1, (width - 1) // 3 + 1)
        masked = masked_windows(quarter_masks(window.masks[: window.local]), grid)
        assert int(masked.sum()) == expected


def test_frames_are_encoded_by_themselves(small: Window, network: InpaintGenerator) -> None:
    alone = network.encode(small.frames[3:4], small.masks[3:4], small.updated[3:4])
    assert off(alone[0], small.encoded[3]) == 0


def test_only_what_is_asked_for_is_painted(wide: Window, network: InpaintGenerator) -> None:
    asked = wide.paint(network, everywhere=False)
    holes = wide.masks[: wide.local]
    assert off(asked * holes, wide.painted * holes) < 1e-4
    assert (asked == 0).float().mean() > 0.5, "most was left out"


def test_no_hole_is_not_decoded(small: Window, network: InpaintGenerator) -> None:
    nothing, flows = torch.zeros_like(small.masks[:2]), [one[:1] for one in small.flows]
    decoded: list[object] = []
    hook = network.decoder.register_forward_hook(lambda *call: decoded.append(call))
    painted = network.paint(small.encoded[:2], nothing, nothing, *flows, everywhere=False)
    hook.remove()
    assert not decoded and not painted.any()


def test_bands_and_batches_do_not_matter(
    small: Window, network: InpaintGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "BAND_FEATURES", 1)
    monkeypatch.setattr(generator, "MIN_BAND_ROWS", 5)
    monkeypatch.setattr(transformer, "BATCH_BYTES", 1)
    monkeypatch.setattr(transformer, "FRAMES_AT_ONCE", 1)
    assert off(small.paint(network), small.painted) < 1e-4


def test_blocks_advance_what_is_asked_for_later() -> None:
    assert needed(5, 2) == [[0, 1, 2, 3, 4]] * 6 + [[0, 1, 3], [0, 1]]
    assert needed(2, 2) == [[0, 1]] * 8


def test_a_single_frame(small: Window, network: InpaintGenerator) -> None:
    none = small.flows[0][:0]
    painted = network.paint(small.encoded[:1], small.masks[:1], small.updated[:1], none, none)
    assert painted.shape == (1, 3, 64, 96) and painted.isfinite().all()


@pytest.mark.parametrize("kind", ["even", "odd", "unmasked"])
def test_golden_attention(
    kind: str, network: InpaintGenerator, propainter_golden: Callable[[str], Golden]
) -> None:
    golden = propainter_golden("attention")
    tokens, block = golden["tokens"][0], network.transformers.transformer[int(golden["block"])]
    grid = Grid(*tokens.shape[1:3])
    masked = grid.cut(grid.padded(golden["mask"][0])).sum((0, 2, 3)) > 0
    if kind == "unmasked":
        masked = torch.zeros_like(masked)
    frames = list(range(len(tokens)))
    with torch.inference_mode():
        which = Windows.of(masked, tokens.device)
        learnt = block.attention(tokens, torch.nn.Identity(), which, int(kind == "odd"), frames)
        found = torch.cat([one for _, one in learnt])
    expected = golden[f"out_{kind}"].view(*found.shape[:3], -1)
    assert off(found[..., :: 8 if kind == "unmasked" else 4], expected) < 1e-5


def test_golden_patches(network: InpaintGenerator, propainter_golden: Callable[[str], Golden]) -> None:
    golden = propainter_golden("soft")
    features = golden["feat"]
    size = features.shape[2], features.shape[3]
    with torch.inference_mode():
        tokens = network.ss(features)
        assert off(tokens, golden["tokens"].view(tokens.shape)) < 2e-5
        given = golden["tokens"].view(tokens.shape)
        assert off(network.sc(given, Region.whole(*size)), golden["composed"]) < 2e-5
        fed = network.transformers.transformer[1].mlp(given, size)
        assert off(fed[..., ::4], golden["ffn"].view(*fed.shape[:3], -1)) < 1e-5
        part = Region(4, size[0] - 3, 2, size[1], *size)
        found, whole = network.sc(given, part), part.crop(network.sc(given, Region.whole(*size)))
    assert off(found[:, :, 1:-1, 1:], whole[:, :, 1:-1, 1:]) < 2e-5


def test_rolled_windows_are_those_of_the_published_buffer() -> None:
    """Of what a window sees nothing is twice, and it reaches 3 rows and 5 columns beyond it, round the edges."""
    kept = torch.ones(4, 5, 9, dtype=torch.bool)
    kept[0, :2, :4] = kept[1, :2, 5:] = kept[2, 3:, :4] = kept[3, 3:, 5:] = False
    grid = Grid(18, 25)
    places = grid.cut(torch.arange(20 * 27).view(1, 20, 27, 1)).flatten()
    seen = places[grid.seen(kept.flatten().nonzero()[:, 0])]
    assert seen.shape == (12, 45 + 148)
    middle = seen[4]  # rows 5..9, columns 9..17
    rows, columns = middle // 27, middle % 27
    assert set(rows.tolist()) == set(range(2, 13)) and set(columns.tolist()) == set(range(4, 23))
    assert len(middle.unique()) == len(middle)
    assert {17, 19} <= set((seen[0] // 27).tolist()), "round the upper edge"


def test_flows_and_masks_at_a_quarter() -> None:
    flows, masks = torch.randn(2, 2, 16, 24), torch.rand(3, 1, 16, 24)
    centre = flows.view(2, 2, 4, 4, 6, 4)[:, :, :, 1:3, :, 1:3].mean((3, 5))
    torch.testing.assert_close(quarter_flows(flows), centre / 4)
    assert torch.equal(quarter_masks(masks), masks[:, :, ::4, ::4])


def test_a_hole_has_a_place() -> None:
    mask = torch.zeros(32, 48)
    assert hole(mask) is None
    mask[5, 16] = mask[9, 30] = 1
    assert hole(mask) == Region(1, 3, 4, 8, 8, 12)
    assert hole(torch.ones(32, 48)) == Region.whole(8, 12)


def test_half_precision_is_close(small: Window, propainter_weights: Callable[[str], Path]) -> None:
    half = load_generator(propainter_weights("ProPainter"), dtype=torch.bfloat16)
    painted = small.paint(half)
    assert painted.dtype == torch.bfloat16
    error = painted.float() - small.golden["output"]
    assert error.square().mean().sqrt() < 0.02
    assert functional.l1_loss(painted.float(), small.golden["output"]) < 0.01


def test_only_weights_that_fit_are_taken(tmp_path: Path) -> None:
    with torch.device("meta"):
        names = InpaintGenerator().state_dict()
    few = {
        key: torch.zeros(value.shape, dtype=value.dtype) for key, value in names.items() if "encoder" in key
    }
    torch.save(few, tmp_path / "ProPainter.pth")
    with pytest.raises(WeightsBroken, match=r"ProPainter\.pth does not fit"):
        load_generator(tmp_path / "ProPainter.pth")
