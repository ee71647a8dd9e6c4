"""The networks of ProPainter written down plainly: what `bench_propainter.py` compares with.

Each step of the published description is the obvious torch call, in its order and at its cost: a clip's flows forward
and then backward with both frames encoded each time, the upsampled flow after every iteration, correlations by
`grid_sample`, a window's frames encoded in the window, patches unfolded and folded, rolled neighbours of all windows,
whole frames decoded. Nothing is cleverly avoided and nothing is needlessly slow (the deformable convolution samples by
groups with `grid_sample`, which is faster here than torchvision's kernel for the CPU). It is not the published code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def layer(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def conv(weights: Weights, name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    weight, bias = layer(weights, name)
    padding = [side // 2 for side in weight.shape[2:]]
    return F.conv2d(x, weight, bias, stride, padding, groups=groups)


def leaky(x: Tensor, slope: float = 0.2) -> Tensor:
    return F.leaky_relu(x, slope)


def up2(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def sample(x: Tensor, at: Tensor) -> Tensor:
    """x (n, c, h, w) at pixels (n, a, b, 2), x before y; zero outside."""
    height, width = x.shape[-2:]
    scale = torch.tensor((2 / max(width - 1, 1), 2 / max(height - 1, 1)))
    return F.grid_sample(x, at * scale - 1, align_corners=True)


def grid(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((x, y), -1).float()


def warp(x: Tensor, flow: Tensor) -> Tensor:
    return sample(x, grid(*flow.shape[-2:]) + flow.permute(0, 2, 3, 1))


def valid(a: Tensor, b: Tensor) -> Tensor:
    bw = warp(b, a)
    squared = [v.square().sum(1, keepdim=True) for v in (a + bw, a, bw)]
    return (squared[0] < 0.01 * (squared[1] + squared[2]) + 0.5).float()


# --- RAFT -------------------------------------------------------------------------------------------------------


def raft_norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    if f"{name}.weight" not in weights:
        return F.instance_norm(x)
    statistics = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    return F.batch_norm(x, *statistics, *layer(weights, name))


def raft_encoder(weights: Weights, name: str, x: Tensor) -> Tensor:
    x = F.relu(raft_norm(weights, f"{name}.norm1", conv(weights, f"{name}.conv1", x, 2)))
    for stage, block in ((s, b) for s in (1, 2, 3) for b in (0, 1)):
        key, stride = f"{name}.layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
        y = F.relu(raft_norm(weights, f"{key}.norm1", conv(weights, f"{key}.conv1", x, stride)))
        y = F.relu(raft_norm(weights, f"{key}.norm2", conv(weights, f"{key}.conv2", y)))
        if stride > 1:
            x = raft_norm(weights, f"{key}.downsample.1", conv(weights, f"{key}.downsample.0", x, 2))
        x = F.relu(x + y)
    return conv(weights, f"{name}.conv2", x)


def raft_lookup(pyramid: list[Tensor], at: Tensor) -> Tensor:
    frames, height, width, _ = at.shape
    steps = torch.arange(-4, 5).float()
    window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
    centres = at.reshape(-1, 1, 1, 2)
    found = [
        sample(level, centres / 2**i + window).view(frames, height, width, 81)
        for i, level in enumerate(pyramid)
    ]
    return torch.cat(found, -1).permute(0, 3, 1, 2)


def raft_gru(weights: Weights, h: Tensor, x: Tensor) -> Tensor:
    for i in "12":
        hx = torch.cat((h, x), 1)
        z = torch.sigmoid(conv(weights, f"update_block.gru.convz{i}", hx))
        r = torch.sigmoid(conv(weights, f"update_block.gru.convr{i}", hx))
        q = torch.tanh(conv(weights, f"update_block.gru.convq{i}", torch.cat((r * h, x), 1)))
        h = (1 - z) * h + z * q
    return h


def raft(weights: Weights, image1: Tensor, image2: Tensor, iterations: int) -> Tensor:
    """The flows (n, 2, H, W) of pairs of frames."""
    fmap1, fmap2 = raft_encoder(weights, "fnet", torch.cat((image1, image2))).chunk(2)
    net, inp = raft_encoder(weights, "cnet", image1).split(128, 1)
    net, inp = torch.tanh(net), F.relu(inp)
    frames, channels, h, w = fmap1.shape
    volume = torch.matmul(fmap1.flatten(2).transpose(1, 2), fmap2.flatten(2)) / channels**0.5
    pyramid = [volume.view(-1, 1, h, w)]
    for _ in range(3):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
    start = grid(h, w).expand(frames, h, w, 2)
    at, fine, name = start, image1, "update_block"
    for _ in range(iterations):
        flow = (at - start).permute(0, 3, 1, 2)
        c = F.relu(conv(weights, f"{name}.encoder.convc1", raft_lookup(pyramid, at)))
        c = F.relu(conv(weights, f"{name}.encoder.convc2", c))
        f = F.relu(conv(weights, f"{name}.encoder.convf1", flow))
        f = F.relu(conv(weights, f"{name}.encoder.convf2", f))
        o = F.relu(conv(weights, f"{name}.encoder.conv", torch.cat((c, f), 1)))
        net = raft_gru(weights, net, torch.cat((inp, o, flow), 1))
        delta = conv(
            weights, f"{name}.flow_head.conv2", F.relu(conv(weights, f"{name}.flow_head.conv1", net))
        )
        at = at + delta.permute(0, 2, 3, 1)
        mask = 0.25 * conv(weights, f"{name}.mask.2", F.relu(conv(weights, f"{name}.mask.0", net)))
        shares = mask.view(frames, 1, 9, 8, 8, h, w).softmax(2)
        near = F.unfold(8 * (at - start).permute(0, 3, 1, 2), 3, padding=1).view(frames, 2, 9, 1, 1, h, w)
        fine = (shares * near).sum(2).permute(0, 1, 4, 2, 5, 3).reshape(frames, 2, 8 * h, 8 * w)
    return fine


# --- what both other networks share -----------------------------------------------------------------------------


def deform(weights: Weights, name: str, x: Tensor, off: Tensor, mod: Tensor) -> Tensor:
    """off (1, 16, 9, 2, h, w), y before x; mod (1, 16, 9, h, w)."""
    _, channels, h, w = x.shape
    taps = torch.stack(torch.meshgrid(*[torch.arange(-1, 2)] * 2, indexing="ij")).flatten(1).T.flip(1)
    at = off[0].flip(2).permute(0, 1, 3, 4, 2) + taps.view(9, 1, 1, 2) + grid(h, w)
    columns = sample(x.view(16, channels // 16, h, w), at.reshape(16, 9 * h, w, 2)).view(16, -1, 9, h, w)
    columns = (columns * mod[0][:, None]).view(-1, h * w)
    weight, bias = layer(weights, name)
    return (weight.flatten(1) @ columns + bias[:, None]).view(1, -1, h, w)


def align(
    weights: Weights, name: str, x: Tensor, cond: Tensor, reach: float, flow: Tensor | None = None
) -> Tensor:
    for i in (0, 2, 4):
        cond = leaky(conv(weights, f"{name}.conv_offset.{i}", cond), 0.1)
    o1, o2, m = conv(weights, f"{name}.conv_offset.6", cond).chunk(3, 1)
    off = (reach * torch.tanh(torch.cat((o1, o2), 1))).view(1, 16, 9, 2, *x.shape[2:])
    if flow is not None:
        off = off + flow.flip(1)[:, None, None]
    return deform(weights, name, x, off, torch.sigmoid(m).view(1, 16, 9, *x.shape[2:]))


# --- flow completion --------------------------------------------------------------------------------------------


def p3d(weights: Weights, name: str, x: Tensor, stride: int) -> Tensor:
    x = leaky(F.conv3d(x, *layer(weights, f"{name}.conv1.0"), (1, stride, stride), (0, 1, 1)))
    return leaky(F.conv3d(x, *layer(weights, f"{name}.conv2.0"), 1, (2, 0, 0), (2, 1, 1)))


def recurrence(weights: Weights, xs: list[Tensor]) -> Tensor:
    passes: dict[str, list[Tensor]] = {}
    for name, order in (("backward_", range(len(xs))[::-1]), ("forward_", range(len(xs)))):
        outs: list[Tensor] = []
        for i in order:
            p = torch.zeros_like(xs[i])
            if outs:
                p2 = outs[-2] if len(outs) > 1 else p
                key = f"feat_prop_module.deform_align.{name}"
                p = align(
                    weights, key, torch.cat((outs[-1], p2), 1), torch.cat((outs[-1], xs[i], p2), 1), 5.0
                )
            back = [passes["backward_"][i]] if passes else []
            key = f"feat_prop_module.backbone.{name}"
            y = leaky(conv(weights, f"{key}.0", torch.cat((xs[i], *back, p), 1)), 0.1)
            outs.append(p + conv(weights, f"{key}.2", y))
        passes[name] = outs[:: -1 if name == "backward_" else 1]
    both = torch.cat((torch.cat(passes["backward_"]), torch.cat(passes["forward_"])), 1)
    return conv(weights, "feat_prop_module.fusion", both) + torch.cat(xs)


def completion(weights: Weights, flows: Tensor, masks: Tensor) -> Tensor:
    """Flow everywhere (L, 2, H, W) from masked flows and masks (L, 1, H, W)."""
    x = torch.cat((flows, masks), 1).permute(1, 0, 2, 3)
    x = F.pad(x[None], (2, 2, 2, 2, 0, 0), "replicate")
    x = leaky(F.conv3d(x, *layer(weights, "downsample.0"), (1, 2, 2)))
    e1 = p3d(weights, "encoder1.2", p3d(weights, "encoder1.0", x, 1), 2)
    x = p3d(weights, "encoder2.2", p3d(weights, "encoder2.0", e1, 1), 2)
    for i, d in ((0, 3), (2, 2), (4, 1)):
        x = leaky(F.conv3d(x, *layer(weights, f"mid_dilation.{i}"), 1, (0, d, d), (1, d, d)))
    x = recurrence(weights, list(x[0].transpose(0, 1).split(1)))
    x = leaky(conv(weights, "decoder2.2.conv", up2(leaky(conv(weights, "decoder2.0", x)))))
    x = x + e1[0].transpose(0, 1)
    x = leaky(conv(weights, "decoder1.2.conv", up2(leaky(conv(weights, "decoder1.0", x)))))
    return conv(weights, "upsample.2.conv", up2(leaky(conv(weights, "upsample.0", x))))


# --- generator --------------------------------------------------------------------------------------------------


def encode(weights: Weights, x: Tensor) -> Tensor:
    for i, stride in ((0, 2), (2, 1), (4, 2), (6, 1)):
        x = leaky(conv(weights, f"encoder.layers.{i}", x, stride))
    first = x
    x = leaky(conv(weights, "encoder.layers.8", x))
    for i, g in ((10, 2), (12, 4), (14, 8), (16, 1)):
        mixed = [v.view(len(v), g, -1, *v.shape[2:]) for v in (first, x)]
        x = leaky(conv(weights, f"encoder.layers.{i}", torch.cat(mixed, 2).flatten(1, 2), 1, g))
    return x


def propagate(
    weights: Weights, enc: list[Tensor], pm: list[Tensor], fwd: Tensor, bwd: Tensor
) -> list[Tensor]:
    current, n, results = enc, len(enc), []
    for name, order in (("backward_1", range(n)[::-1]), ("forward_1", range(n))):
        outs: list[Tensor] = []
        for i in order:
            p = current[i]
            if outs:
                j = i if name == "backward_1" else i - 1
                a, b = (fwd[j : j + 1], bwd[j : j + 1])[:: 1 if name == "backward_1" else -1]
                cond = torch.cat((current[i], warp(outs[-1], a), a, valid(a, b), pm[i]), 1)
                p = align(weights, f"feat_prop_module.deform_align.{name}", outs[-1], cond, 3.0, a)
            key = f"feat_prop_module.backbone.{name}"
            y = leaky(conv(weights, f"{key}.0", torch.cat((current[i], p, pm[i]), 1)))
            outs.append(p + conv(weights, f"{key}.2", y))
        current = outs[:: -1 if name == "backward_1" else 1]
        results.append(current)
    fused = [torch.cat((b, f, m), 1) for b, f, m in zip(*results, pm, strict=True)]
    key = "feat_prop_module.fuse"
    return [
        conv(weights, f"{key}.2", leaky(conv(weights, f"{key}.0", x))) + e
        for x, e in zip(fused, enc, strict=True)
    ]


def cut(x: Tensor) -> Tensor:
    t, h, w, c = x.shape
    return x.view(t, h // 5, 5, w // 9, 9, c).transpose(2, 3).reshape(t, -1, 45, c)


def heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (4, 128)).transpose(-2, -3)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = heads(q), heads(k), heads(v)
    return (torch.softmax(q @ k.transpose(-1, -2) / 128**0.5, -1) @ v).transpose(-2, -3).flatten(-2)


def attention(weights: Weights, name: str, x: Tensor, masked: Tensor, parity: int) -> Tensor:
    t, fh, fw, _ = x.shape
    x = F.pad(x, (0, 0, 0, -fw % 9, 0, -fh % 5))
    q, k, v = (F.linear(x, *layer(weights, f"{name}.{part}")) for part in ("query", "key", "value"))
    pooled = F.conv2d(x.permute(0, 3, 1, 2), *layer(weights, f"{name}.pool_layer"), 4, groups=512)
    pooled = pooled.permute(0, 2, 3, 1).flatten(1, 2)
    wide = []
    for part, y in (("key", k), ("value", v)):
        rolled = [cut(torch.roll(y, shift, (1, 2))) for shift in ((-3, -5), (-3, 5), (3, -5), (3, 5))]
        around = torch.cat(rolled, 2)[:, :, weights[f"{name}.valid_ind_rolled"]]
        p = F.linear(pooled, *layer(weights, f"{name}.{part}"))[:, None].expand(-1, around.shape[1], -1, -1)
        wide.append(torch.cat((cut(y), around, p), 2))
    q, k, v = cut(q), cut(k), cut(v)
    out = torch.empty_like(q)
    out[:, ~masked] = attend(q[:, ~masked], k[:, ~masked], v[:, ~masked])
    if masked.any():
        far = [y[parity::2, masked].transpose(0, 1).flatten(1, 2) for y in wide]
        found = attend(q[:, masked].transpose(0, 1).flatten(1, 2), *far)
        out[:, masked] = found.unflatten(1, (t, 45)).transpose(0, 1)
    rows, columns = x.shape[1] // 5, x.shape[2] // 9
    out = out.view(t, rows, columns, 5, 9, 512).transpose(2, 3).reshape(x.shape)[:, :fh, :fw]
    return F.linear(out, *layer(weights, f"{name}.proj"))


def feed_forward(weights: Weights, name: str, x: Tensor, size: tuple[int, int]) -> Tensor:
    y = F.linear(x.flatten(1, 2), *layer(weights, f"{name}.fc1.0")).transpose(1, 2)
    counts = F.fold(torch.ones_like(y), size, 7, 1, 3, 3)
    y = F.unfold(F.fold(y, size, 7, 1, 3, 3) / counts, 7, 1, 3, 3).transpose(1, 2)
    return F.linear(F.gelu(y), *layer(weights, f"{name}.fc2.1")).view(x.shape)


def generator(weights: Weights, x: Tensor, pm: Tensor, fwd: Tensor, bwd: Tensor, local: int) -> Tensor:
    """Local frames (l, 3, H, W) from frames and masks (t, 5, H, W), quarter masks (l, 2, h, w) and quarter flows."""
    enc = encode(weights, x)
    t, _, h, w = enc.shape
    known = propagate(weights, list(enc[:local].split(1)), list(pm.split(1)), fwd, bwd)
    features = torch.cat((*known, enc[local:]))
    fh, fw = (h - 1) // 3 + 1, (w - 1) // 3 + 1
    tokens = F.linear(F.unfold(features, 7, 1, 3, 3).transpose(1, 2), *layer(weights, "ss.embedding"))
    tokens = tokens.view(t, fh, fw, 512)
    hole = F.max_pool2d(pm[:, :1], 7, 3, 3).permute(0, 2, 3, 1)
    masked = cut(F.pad(hole, (0, 0, 0, -fw % 9, 0, -fh % 5))).sum((0, 2, 3)) > 0
    for i in range(8):
        name = f"transformers.transformer.{i}"
        y = F.layer_norm(tokens, (512,), *layer(weights, f"{name}.norm1"))
        tokens = tokens + attention(weights, f"{name}.attention", y, masked, i % 2)
        y = F.layer_norm(tokens, (512,), *layer(weights, f"{name}.norm2"))
        tokens = tokens + feed_forward(weights, f"{name}.mlp", y, (h, w))
    y = F.linear(tokens.flatten(1, 2), *layer(weights, "sc.embedding")).transpose(1, 2)
    x = (features + conv(weights, "sc.bias_conv", F.fold(y, (h, w), 7, 1, 3, 3)))[:local]
    x = leaky(conv(weights, "decoder.0.conv", up2(x)))
    x = leaky(conv(weights, "decoder.2", x))
    x = leaky(conv(weights, "decoder.4.conv", up2(x)))
    return torch.tanh(conv(weights, "decoder.6", x))
