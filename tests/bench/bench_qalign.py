"""Q-Align's windows at constant memory against the naive way, on random weights, in one run on one thread.

    python tests/bench/bench_qalign.py [--frames 8] [--window 3] [--side 448]

The network is of middle size: a vision tower of 12 layers of width 512, a language model of 8 layers of width 1024 and
32,000 words. The naive way encodes every frame of every window anew, sends all tokens through all layers, and asks for
all words at every token. Time is CPU time: machines are noisy, read the ratio.
Results are printed as a table and kept in tests/bench/results/.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipelines.nets.qalign.config import LEVEL_WEIGHTS, read_config  # noqa: E402
from pipelines.nets.qalign.language import FRAMES, TEXT, rotation  # noqa: E402
from pipelines.nets.qalign.model import QAlign, expected_shapes, inspect, load  # noqa: E402  after the path is set
from pipelines.nets.qalign.vision import normalised  # noqa: E402
from pipelines.scoring.metrics.smoothness import windows  # noqa: E402
from pipelines.scoring.qalign.preprocess import Prepared  # noqa: E402
from pipelines.scoring.qalign.scorer import NetworkScorer  # noqa: E402
from pipelines.scoring.qalign.windows import rated  # noqa: E402
from pipelines.spans import Span  # noqa: E402

BATCH = 4


def sizes(side: int) -> dict[str, Any]:
    """A `config.json`."""
    language = {"hidden_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 16}
    seen = {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048}
    vision = {**seen, "num_hidden_layers": 12, "image_size": side}
    abstractor = {**seen, "encoder_hidden_size": 512, "intermediate_size": 1408, "grid_size": side // 14}
    nested = {"visual_model": vision, "visual_abstractor": abstractor}
    return {**language, "intermediate_size": 2816, "torch_dtype": "float32", "visual_config": nested}


def write_weights(folder: Path, side: int) -> None:
    """Random weights in the published layout."""
    (folder / "config.json").write_text(json.dumps(sizes(side)))
    noise = torch.Generator().manual_seed(0)

    def draw(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        if len(shape) == 1:
            return 0.1 * torch.randn(shape, generator=noise) + float(name.endswith("weight"))
        return torch.randn(shape, generator=noise) / np.sqrt(np.prod(shape[1:]))

    shapes = expected_shapes(read_config({"config.json": folder / "config.json"}))
    torch.save({name: draw(name, shape) for name, shape in shapes.items()}, folder / "pytorch_model.bin")


@torch.inference_mode()
def naive(model: QAlign, folder: Path, squares: list[Any], width: int) -> list[float]:
    """A score a window, each on its own from pixels on."""
    _, tokens, checkpoint = inspect(folder)
    words, head = (
        dict(checkpoint.tensors([name]))[name] for name in ("model.embed_tokens.weight", "lm_head.weight")
    )
    before, after = tokens.prompts["video_quality"]
    scores = []
    for window in windows(squares, width):
        features = model.encode_frames(normalised(torch.from_numpy(np.stack(window)))).flatten(0, 1)
        row = torch.cat((words[list(before)], features, words[list(after)]))[None]
        runs = ((len(before), TEXT), (len(features), FRAMES), (len(after), TEXT))
        turned = rotation(model.config.language, row.shape[1], row.dtype, row.device)
        for layer in model.language.layers.in_order():
            row = layer(row, runs, turned, None, last_only=False)[0]
        logits = model.language.norm(row) @ head.T
        chances = logits[0, -1, list(tokens.levels)].softmax(0)
        scores.append(float(chances @ torch.tensor(LEVEL_WEIGHTS)))
    return scores


def ours(model: QAlign, squares: list[Any], width: int) -> list[float]:
    """The same by the engine's own stream."""
    frames = (Prepared(index, square, None, 0.0) for index, square in enumerate(squares))
    whole = Span(0, len(squares))
    scorer = NetworkScorer(model, "video_quality", "cpu")
    return [each.score for each in rated(frames, scorer, whole, whole, width, BATCH)]


def measure(folder: Path, options: argparse.Namespace) -> str:
    write_weights(folder, options.side)
    model = load(folder)
    noise = np.random.default_rng(0)
    squares = [noise.integers(0, 256, (options.side,) * 2 + (3,), np.uint8) for _ in range(options.frames)]
    ours(model, squares[:1], options.width)
    begin = time.process_time()
    found = ours(model, squares, options.width)
    middle = time.process_time()
    plain = naive(model, folder, squares, options.width)
    end = time.process_time()
    fast, slow = (middle - begin) / options.frames, (end - middle) / options.frames
    apart = max(abs(a - b) for a, b in zip(found, plain, strict=True))
    spread = f"{min(found):.4f} to {max(found):.4f}"
    costs = f"{slow:.2f} | {fast:.2f} | {fast / slow:.2f}"
    return f"| {options.side} | {options.width} | {costs} | {spread} | {apart:.1e} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--window", type=int, default=3, dest="width")
    parser.add_argument("--side", type=int, default=448)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        row = measure(Path(folder), options)
    lines = [
        f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, one thread; "
        f"{options.frames} frames, batches of {BATCH}, float32, random weights.",
        "",
        "| pixels a side | window | naive, CPU s a window | ours | ratio | scores | apart by at most |",
        "|---|---|---|---|---|---|---|",
        row,
    ]
    print("\n".join(lines))
    (ROOT / "tests/bench/results/qalign.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
