"""What ProPainter's networks hold at their worst moment, in bytes, beyond weights and what callers hold; no tensors.

Measured as the growth of a process on the CPU in float32, at 128x128 to 864x480, and rounded up; what is passed in and
encoded features that callers keep are not counted, results are. In half precision features take half. On a CUDA device
the libraries' workspaces come on top.
"""

from memory.units import MIB

WORK_BYTES = 56 * MIB
"""What a band of a transformed convolution and of sampled values may take, whatever the picture."""
ON_DEMAND_BYTES = 64 * MIB
"""Features gathered for look-ups on demand."""
FAR_BYTES = 48 * MIB
"""Keys and values of masked windows that are attended together, and where they lie."""
BAND_FEATURES, FEATURE_BYTES = 1 << 14, 17_000
"""How many features of a frame are decoded together, and what each takes."""

WEIGHTS_BYTES = {
    "raft-things.pth": 22_000_000,
    "recurrent_flow_completion.pth": 21_000_000,
    "ProPainter.pth": 158_000_000,
}
"""By published file, as they lie on a device in float32."""
PREPARED_BYTES = {
    "raft-things.pth": 50_000_000,
    "recurrent_flow_completion.pth": 61_000_000,
    "ProPainter.pth": 92_000_000,
}
"""Transformed copies of weights, on the CPU alone and from first use on."""


def raft(height: int, width: int, pairs: int, *, on_demand: bool = False) -> int:
    """Flows of so many pairs of frames at a time, and their features before."""
    rows, columns = height // 8, width // 8
    ringed = sum(((rows >> level) + 2) * ((columns >> level) + 2) for level in range(4))
    volume = 0 if on_demand else 2 * 4 * rows * columns * ringed
    return pairs * (volume + 600 * height * width) + WORK_BYTES + on_demand * ON_DEMAND_BYTES


def completion(height: int, width: int, flows: int, bytes_each: int = 4) -> int:
    """A chunk of so many flows, completed in place both ways."""
    return height * width * bytes_each * (100 + 9 * flows) + WORK_BYTES


def encode(height: int, width: int, frames: int = 1, bytes_each: int = 4) -> int:
    """So many frames: one is worked on at a time, 8 values per pixel are kept of each."""
    return height * width * bytes_each * (140 + 8 * frames) + WORK_BYTES


def paint(height: int, width: int, local: int, total: int, bytes_each: int = 4) -> int:
    """A window of `total` frames, `local` of which are painted, everywhere and with holes everywhere."""
    pixels = height * width
    value = pixels * bytes_each
    propagation = value * (110 + 24 * local)
    transformer = value * (15 * total + 8 * local) + FAR_BYTES
    band = min(pixels // 16, BAND_FEATURES + 12 * (width // 4)) * FEATURE_BYTES * bytes_each // 4
    decoder = value * (4 * total + 11 * local) + band
    return max(propagation, transformer, decoder) + WORK_BYTES
