"""Peak memory of ProPainter's networks in bytes, beyond their weights and what callers hold; computed without torch.

The coefficients are measured as the growth of a process on the CPU in float32, at 128x128 to 864x480, and rounded up.
Inputs, and encoded features that callers keep, are not counted; results are. In half precision features take half. On a
GPU tensors are what a simulated card counted, at 432x240 to 1280x720; the libraries' workspaces come on top.
"""

from memory.units import MIB

WORK_BYTES = 56 * MIB
"""A band of a transformed convolution and of deformable samples; independent of the picture."""
ON_DEMAND_BYTES = 64 * MIB
"""Features gathered for on-demand lookups."""
DEFORM_BYTES = 384 * MIB
"""Limit of what a deformable convolution samples at a time on a GPU; on the CPU that is part of `WORK_BYTES`."""
FAR_BYTES = 48 * MIB
"""Keys and values of the masked windows of a batch, and their indices."""
BAND_FEATURES, FEATURE_BYTES = 1 << 14, 17_000
"""Features of a frame that are decoded together (a larger frame is decoded band by band), and the bytes of each."""

WEIGHTS_BYTES = {
    "raft-things.pth": 22_000_000,
    "recurrent_flow_completion.pth": 21_000_000,
    "ProPainter.pth": 158_000_000,
}
"""Weights by published file, on a device in float32."""
PREPARED_BYTES = {
    "raft-things.pth": 50_000_000,
    "recurrent_flow_completion.pth": 61_000_000,
    "ProPainter.pth": 92_000_000,
}
"""Transformed copies of weights, made at first use, on the CPU alone."""


def raft(height: int, width: int, pairs: int, *, on_demand: bool = False) -> int:
    """Features and both flows of `pairs` frame pairs at a time."""
    rows, columns = height // 8, width // 8
    ringed = sum(((rows >> level) + 2) * ((columns >> level) + 2) for level in range(4))
    volume = 0 if on_demand else 2 * 4 * rows * columns * ringed
    return pairs * (volume + 600 * height * width) + WORK_BYTES + on_demand * ON_DEMAND_BYTES


def completion(height: int, width: int, flows: int, bytes_each: int = 4, *, on_gpu: bool = False) -> int:
    """Completion of a chunk of `flows` flows in place, in both directions."""
    value = height * width * bytes_each
    encoding = 100 * value
    if on_gpu:
        recurrence = 45 * value + _deform(height * width // 64, 256, bytes_each)
        return 9 * flows * value + max(encoding, recurrence)
    return 9 * flows * value + encoding + WORK_BYTES


def encode(height: int, width: int, frames: int = 1, bytes_each: int = 4) -> int:
    """Encoding of `frames` frames one at a time; each leaves 8 values per pixel."""
    return height * width * bytes_each * (140 + 8 * frames) + WORK_BYTES


def paint(
    height: int, width: int, local: int, total: int, bytes_each: int = 4, *, on_gpu: bool = False
) -> int:
    """Inpainting of `local` frames in a window of `total`, at worst: everywhere, with holes everywhere."""
    pixels = height * width
    value = pixels * bytes_each
    transformer = value * (15 * total + 8 * local) + FAR_BYTES
    band = min(pixels // 16, BAND_FEATURES + 12 * (width // 4)) * FEATURE_BYTES * bytes_each // 4
    decoder = value * (4 * total + 11 * local) + band
    others = max(transformer, decoder) + WORK_BYTES
    if on_gpu:
        return max(value * (60 + 24 * local) + _deform(pixels // 16, 128, bytes_each), others)
    return max(value * (110 + 24 * local) + WORK_BYTES, others)


def _deform(positions: int, channels: int, bytes_each: int) -> int:
    """What a deformable convolution holds on a GPU: nine samples of each value, and a copy of its input."""
    return min(DEFORM_BYTES, positions * channels * 9 * (4 + bytes_each)) + positions * channels * 4
