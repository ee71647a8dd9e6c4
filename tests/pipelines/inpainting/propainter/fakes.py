"""Networks that are exact to the index: what they give depends on all that they were given, and in which order.

And the published inference written down plainly over whole videos, as the chain's measure.
"""

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from memory.ladder import Effort, Ladder
from pipelines.inpainting.propainter.context import ProPainterNetworks
from pipelines.inpainting.propainter.schedule import Schedule
from pipelines.inpainting.propainter.streaming import Chain, Painted, Recipe
from pipelines.nets.raft.model import Features
from pipelines.spans import Span

HEIGHT, WIDTH = 16, 24


class FakeRaft(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frames, self.pairs = 0, 0

    def features(self, frames: Tensor) -> Features:
        self.frames += len(frames)
        return Features(frames, frames.mean((1, 2, 3)), frames.std((1, 2, 3)))

    def flows(self, here: Features, there: Features, iterations: int, *, on_demand: bool) -> Any:
        self.pairs += len(here.net)
        found = []
        for a, b in ((here, there), (there, here)):
            shift = 2 * torch.sin(9 * a.net + 5 * b.net + 3 * a.inp + iterations)
            found.append(shift[:, None, None, None] + 0.5 * (a.fmap - b.fmap)[:, :2])
        return found[0], -found[0] + 0.1 * found[1]


class FakeCompletion(nn.Module):
    def complete(self, onward: Tensor, back: Tensor, masks: Tensor, *, out: Any) -> Any:
        for flows, mask, filled in ((onward, masks[:-1], out[0]), (back, masks[1:], out[1])):
            known = flows * (1 - mask)
            places = torch.arange(1, len(flows) + 1).float()
            everything = (known.mean((1, 2, 3)) * places).sum() / places.sum()
            filled.copy_(known + mask * (known.mean((2, 3), keepdim=True) + everything))
        return out


class FakeGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.windows = 0

    def encode(self, frames: Tensor, masks: Tensor, updated: Tensor) -> Tensor:
        return functional.avg_pool2d(torch.cat([frames, masks, updated], dim=1), 4)

    def paint(
        self,
        encoded: Tensor,
        local_masks: Tensor,
        local_updated: Tensor,
        onward: Tensor,
        back: Tensor,
        *,
        everywhere: bool = True,
    ) -> Tensor:
        self.windows += 1
        local = len(local_masks)
        weights = torch.cos(torch.arange(len(encoded)).float())[:, None, None, None]
        everything = (encoded * weights).sum((0, 1))
        places = torch.arange(1, len(onward) + 1).float()
        moved = ((onward - 2 * back).mean((1, 2, 3)) * places).sum()
        small = encoded[:local, :3] + 0.2 * everything + 0.3 * moved
        large = functional.interpolate(small, scale_factor=4.0)
        return torch.tanh(large + 0.3 * local_masks - 0.2 * local_updated)


def networks() -> ProPainterNetworks:
    return ProPainterNetworks(FakeRaft(), FakeCompletion(), FakeGenerator())  # type: ignore[arg-type]


def clip(frames: int, seed: int = 0, holes: Any = lambda index: True) -> tuple[np.ndarray, np.ndarray]:
    """Noise that drifts, and a hole that wanders; `holes` says which frames have one."""
    draw = np.random.default_rng(seed)
    still = draw.integers(0, 256, (HEIGHT, WIDTH + 3 * frames, 3), np.uint8)
    pictures = np.stack([still[:, 2 * i : 2 * i + WIDTH] for i in range(frames)])
    masks = np.zeros((frames, HEIGHT, WIDTH), np.bool_)
    for i in range(frames):
        if holes(i):
            y, x = 3 + i % 5, 2 + (3 * i) % 13
            masks[i, y : y + 7, x : x + 9] = True
    return pictures, masks


def chain_over(
    pictures: np.ndarray,
    masks: np.ndarray,
    plan: Recipe,
    span: Span | None = None,
    *,
    flow_mask: Any = None,
    nets: ProPainterNetworks | None = None,
    ladder: Ladder | None = None,
    read: Any = None,
    look: Any = lambda: None,
) -> Chain:
    def given(start: int, stop: int) -> Generator[Any]:
        yield from zip(pictures[start:stop], masks[start:stop], strict=True)

    way_down = ladder or Ladder(Effort(window=1, batch=plan.block), ())
    whole = span or Span(0, len(pictures))
    return Chain(read or given, nets or networks(), way_down, plan, whole, flow_mask, look)


def streamed(*given: Any, **more: Any) -> list[Painted]:
    return list(chain_over(*given, **more).frames())


def whole(
    pictures: np.ndarray, masks: np.ndarray, plan: Recipe, flow_mask: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Every frame and what is unknown of it, stage after stage over all of the video."""
    nets, order = networks(), plan.schedule
    frames = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255).mul(2).sub(1)
    holes = torch.from_numpy(masks)[:, None].float()
    flow_holes = (
        holes if flow_mask is None else torch.from_numpy(flow_mask)[None, None].float().expand_as(holes)
    )
    raw = _raw(nets, frames, plan.iterations)
    done = _completed(nets, raw, flow_holes, order)
    updated, unknown = _propagated(frames, holes, done, order)
    return _painted(nets, pictures, masks, updated, holes, unknown, done, order), unknown[:, 0].numpy() > 0


def _raw(nets: ProPainterNetworks, frames: Tensor, iterations: int) -> list[Tensor]:
    found = []
    for i in range(len(frames) - 1):
        here, there = (nets.raft.features(frames[j : j + 1]) for j in (i, i + 1))
        found.append(torch.cat(nets.raft.flows(here, there, iterations, on_demand=False)))
    return found


def _completed(nets: ProPainterNetworks, raw: list[Tensor], holes: Tensor, order: Schedule) -> Tensor:
    count, length = len(raw), order.subvideo_length
    done = torch.zeros(2, count, 2, HEIGHT, WIDTH)
    for first in range(0, count, length):
        start, stop = max(0, first - 5), min(count, first + length + 5)
        chunk = torch.stack(raw[start:stop], dim=1)
        nets.completion("float32").complete(
            chunk[0], chunk[1], holes[start : stop + 1], out=(chunk[0], chunk[1])
        )
        kept = min(count, first + length)
        done[:, first:kept] = chunk[:, first - start : kept - start]
    return done


def warp(images: Tensor, flow: Tensor, mode: str) -> Tensor:
    ys, xs = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    x, y = xs.float() + flow[0], ys.float() + flow[1]
    grid = torch.stack([2 * x / (WIDTH - 1) - 1, 2 * y / (HEIGHT - 1) - 1], dim=-1)
    return functional.grid_sample(
        images[None], grid[None], mode=mode, padding_mode="zeros", align_corners=True
    )[0]


def _propagated(frames: Tensor, holes: Tensor, flows: Tensor, order: Schedule) -> tuple[Tensor, Tensor]:
    count, length = len(frames), min(100, order.subvideo_length)
    updated, unknown = frames.clone(), holes.clone()
    for first in range(0, count, length):
        start, stop = max(0, first - 10), min(count, first + length + 10)
        images = [frames[i] * (1 - holes[i]) for i in range(start, stop)]
        missing = [holes[i].clone() for i in range(start, stop)]
        size = stop - start
        for order_of, offset in ((range(size - 1, -1, -1), 1), (range(size), -1)):
            for at, i in enumerate(order_of):
                if at == 0:
                    continue
                pair = start + i - (offset < 0)
                a, b = (flows[0, pair], flows[1, pair])[:: 1 if offset > 0 else -1]
                back = warp(b, a, "bilinear")
                valid = ((a + back) ** 2).sum(0) < 0.01 * ((a**2).sum(0) + (back**2).sum(0)) + 0.5
                shown = valid & (warp(missing[i + offset], a, "bilinear")[0] <= 0.1)
                taken = (missing[i][0] > 0) & shown
                images[i] = torch.where(taken, warp(images[i + offset], a, "nearest"), images[i])
                missing[i] = missing[i] * (1 - shown.float())
        for i in range(first, min(count, first + length)):
            updated[i] = frames[i] * (1 - holes[i]) + images[i - start] * holes[i]
            unknown[i] = missing[i - start]
    return updated, unknown


def _painted(
    nets: ProPainterNetworks,
    pictures: np.ndarray,
    masks: np.ndarray,
    updated: Tensor,
    holes: Tensor,
    unknown: Tensor,
    flows: Tensor,
    order: Schedule,
) -> np.ndarray:
    from pipelines.nets.propainter.generator import quarter_flows

    count, step = len(pictures), order.neighbor_length // 2
    out: list[Any] = [None] * count
    for middle in range(0, count, step):
        near = list(range(max(0, middle - step), min(count - 1, middle + step) + 1))
        if count > order.subvideo_length:
            reach = order.ref_stride * (order.subvideo_length // order.ref_stride // 2)
            around = range(max(0, middle - reach), min(count, middle + reach), order.ref_stride)
        else:
            around = range(0, count, order.ref_stride)
        seen = near + [i for i in around if i not in near]
        encoded = nets.generator("float32").encode(updated[seen], holes[seen], unknown[seen])
        small = [quarter_flows(each[near[0] : near[-1]]) for each in flows]
        painted = nets.generator("float32").paint(encoded, holes[near], unknown[near], *small)
        levels = ((painted + 1) / 2).permute(0, 2, 3, 1).numpy() * 255
        for i, level in zip(near, levels, strict=True):
            image = np.where(masks[i][..., None], level.astype(np.uint8), pictures[i])
            if out[i] is not None:
                image = (out[i].astype(np.float32) * 0.5 + image.astype(np.float32) * 0.5).astype(np.uint8)
            out[i] = image
    return np.stack(out)
