"""The networks of LivePortrait written down plainly: what `bench_liveportrait.py` compares with.

Each step of the published description is the obvious torch call, in its order: one convolution after the other, norms
apart, spectral weights divided on every call, 22 copies of the compressed volume, gamma and beta at full size. Nothing
is cleverly avoided and nothing is needlessly slow. It is not the published code, which may be faster or slower.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]
DEPTHS = (3, 3, 9, 3)
VARIANCE = 0.01


def layer(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def batch_norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    weight, bias = layer(weights, name)
    return F.batch_norm(x, weights[f"{name}.running_mean"], weights[f"{name}.running_var"], weight, bias)


def conv_norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    conv = F.conv2d if x.ndim == 4 else F.conv3d
    x = conv(x, *layer(weights, f"{name}.conv"), padding=1)
    return F.relu(batch_norm(weights, f"{name}.norm", x))


def appearance(weights: Weights, image: Tensor) -> Tensor:
    x = conv_norm(weights, "first", image)
    for i in range(2):
        x = F.avg_pool2d(conv_norm(weights, f"down_blocks.{i}", x), 2)
    x = F.conv2d(x, *layer(weights, "second")).view(-1, 32, 16, 64, 64)
    for i in range(6):
        name, y = f"resblocks_3d.3dr{i}", x
        for j in (1, 2):
            y = F.relu(batch_norm(weights, f"{name}.norm{j}", y))
            y = F.conv3d(y, *layer(weights, f"{name}.conv{j}"), padding=1)
        x = x + y
    return x


def channel_norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    weight, bias = layer(weights, name)
    return F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],), weight, bias, 1e-6).permute(0, 3, 1, 2)


def block(weights: Weights, name: str, x: Tensor) -> Tensor:
    weight, bias = layer(weights, f"{name}.dwconv")
    y = F.conv2d(x, weight, bias, padding=3, groups=len(weight)).permute(0, 2, 3, 1)
    weight, bias = layer(weights, f"{name}.norm")
    y = F.gelu(
        F.linear(F.layer_norm(y, weight.shape, weight, bias, 1e-6), *layer(weights, f"{name}.pwconv1"))
    )
    norm = torch.norm(y, p=2, dim=(1, 2), keepdim=True)
    norm = norm / (norm.mean(-1, keepdim=True) + 1e-6)
    y = weights[f"{name}.grn.gamma"] * (y * norm) + weights[f"{name}.grn.beta"] + y
    return x + F.linear(y, *layer(weights, f"{name}.pwconv2")).permute(0, 3, 1, 2)


def motion(published: Weights, image: Tensor) -> dict[str, Tensor]:
    weights, x = {key.removeprefix("detector."): value for key, value in published.items()}, image
    for i, depth in enumerate(DEPTHS):
        conv, norm = (f"downsample_layers.{i}.{n}" for n in ((0, 1) if i == 0 else (1, 0)))
        if i:
            x = channel_norm(weights, norm, x)
        x = F.conv2d(x, *layer(weights, conv), stride=2 if i else 4)
        if not i:
            x = channel_norm(weights, norm, x)
        for j in range(depth):
            x = block(weights, f"stages.{i}.{j}", x)
    weight, bias = layer(weights, "norm")
    x = F.layer_norm(x.mean((2, 3)), weight.shape, weight, bias, 1e-6)
    names = ("kp", "scale", "pitch", "yaw", "roll", "t", "exp")
    return {name: F.linear(x, *layer(weights, f"fc_{name}")) for name in names}


def grid_of(x: Tensor) -> Tensor:
    depth, height, width = (torch.arange(n) / (n - 1) * 2 - 1 for n in (16, 64, 64))
    z, y, x = torch.meshgrid(depth, height, width, indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def sample(x: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(x, grid, align_corners=False)


def heat(grid: Tensor, points: Tensor) -> Tensor:
    repeated = grid[None, None].repeat(len(points), 21, 1, 1, 1, 1)
    return torch.exp(-0.5 * ((repeated - points[:, :, None, None, None]) ** 2).sum(-1) / VARIANCE)


def hourglass(weights: Weights, x: Tensor) -> Tensor:
    skips = [x]
    for i in range(5):
        x = conv_norm(weights, f"hourglass.encoder.down_blocks.{i}", skips[-1])
        skips.append(F.avg_pool3d(x, (1, 2, 2)))
    x = skips.pop()
    for i in range(5):
        x = conv_norm(weights, f"hourglass.decoder.up_blocks.{i}", F.interpolate(x, scale_factor=(1, 2, 2)))
        x = torch.cat([x, skips.pop()], dim=1)
    return conv_norm(weights, "hourglass.decoder", x)


def dense_motion(
    weights: Weights, feature: Tensor, driving: Tensor, source: Tensor
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    batch, grid = len(feature), grid_of(feature)
    x = F.conv3d(feature, *layer(weights, "compress"))
    x = F.relu(batch_norm(weights, "norm", x))
    identity = grid[None, None].repeat(batch, 1, 1, 1, 1, 1)
    shifts = grid - driving[:, :, None, None, None] + source[:, :, None, None, None]
    motions = torch.cat([identity, shifts], dim=1)
    copies = x[:, None].repeat(1, 22, 1, 1, 1, 1).view(batch * 22, *x.shape[1:])
    deformed = sample(copies, motions.view(batch * 22, *motions.shape[2:])).view(batch, 22, *x.shape[1:])
    heatmap = heat(grid, driving) - heat(grid, source)
    heatmap = torch.cat([torch.zeros_like(heatmap[:, :1]), heatmap], dim=1)[:, :, None]
    taken = torch.cat([heatmap, deformed], dim=2).view(batch, -1, *x.shape[2:])
    given = hourglass(weights, taken)
    logits = F.conv3d(given, *layer(weights, "mask"), padding=3)
    mask = F.softmax(logits, dim=1)[..., None]
    deformation = (motions * mask).sum(dim=1)
    flat = given.view(batch, -1, *given.shape[3:])
    occlusion = torch.sigmoid(F.conv2d(flat, *layer(weights, "occlusion"), padding=3))
    return deformation, occlusion, {"in": taken, "out": given, "logits": logits}


def warp(published: Weights, feature: Tensor, driving: Tensor, source: Tensor) -> dict[str, Tensor]:
    prefix = "dense_motion_network."
    weights = {key.removeprefix(prefix): value for key, value in published.items() if key.startswith(prefix)}
    deformation, occlusion, stages = dense_motion(weights, feature, driving, source)
    x = sample(feature, deformation).view(len(feature), -1, *feature.shape[3:])
    x = F.conv2d(x, *layer(published, "third.conv"), padding=1)
    x = F.leaky_relu(batch_norm(published, "third.norm", x), 0.01)
    x = F.conv2d(x, *layer(published, "fourth")) * occlusion
    return {"feature": x, "deformation": deformation, "occlusion": occlusion, **stages}


def spectral(weights: Weights, name: str) -> Tensor:
    """The weight that the power iteration left, divided by its largest singular value."""
    weight = weights[f"{name}.weight_orig"]
    return weight / (weights[f"{name}.weight_u"] @ weight.flatten(1) @ weights[f"{name}.weight_v"])


def spade(weights: Weights, name: str, x: Tensor, seg: Tensor) -> Tensor:
    seg = F.interpolate(seg, size=x.shape[2:], mode="nearest")
    hidden = F.relu(F.conv2d(seg, *layer(weights, f"{name}.mlp_shared.0"), padding=1))
    gamma = F.conv2d(hidden, *layer(weights, f"{name}.mlp_gamma"), padding=1)
    beta = F.conv2d(hidden, *layer(weights, f"{name}.mlp_beta"), padding=1)
    return F.instance_norm(x) * (1 + gamma) + beta


def spade_block(weights: Weights, name: str, x: Tensor, seg: Tensor) -> Tensor:
    shortcut = x
    if f"{name}.conv_s.weight_orig" in weights:
        shortcut = F.conv2d(spade(weights, f"{name}.norm_s", x, seg), spectral(weights, f"{name}.conv_s"))
    for i in range(2):
        x = F.leaky_relu(spade(weights, f"{name}.norm_{i}", x, seg), 0.2)
        x = F.conv2d(x, spectral(weights, f"{name}.conv_{i}"), weights[f"{name}.conv_{i}.bias"], padding=1)
    return shortcut + x


def generate(weights: Weights, seg: Tensor, keep: Any = lambda name, x: None) -> Tensor:
    x = F.conv2d(seg, *layer(weights, "fc"), padding=1)
    keep("fc", x)
    for i in range(6):
        x = spade_block(weights, f"G_middle_{i}", x, seg)
        keep(f"g{i}", x)
    for i in range(2):
        x = spade_block(weights, f"up_{i}", F.interpolate(x, scale_factor=2), seg)
        keep(f"up{i}", x)
    x = F.conv2d(F.leaky_relu(x, 0.2), *layer(weights, "conv_img.0"), padding=1)
    return torch.sigmoid(F.pixel_shuffle(x, 2))
