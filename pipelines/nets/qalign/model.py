"""Q-Align ("one-align"), the published network of 8.2 billion weights that rates pictures and videos.

Frames are encoded to tokens once (`encode_frames`). Any sequence of frames is then rated by the probabilities that a
language model gives to five level words as its next token (`level_logits`). After Wu et al., "Q-Align: Teaching LMMs
for Visual Scoring via Discrete Text-Defined Levels" (ICML 2024); an independent implementation with the published
shapes and names.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.errors import WeightsMissing, fault_of
from pipelines.nets.qalign.abstractor import Abstractor, position_tables
from pipelines.nets.qalign.checkpoint import Checkpoint, Shape
from pipelines.nets.qalign.config import (
    LEVEL_WEIGHTS,
    Config,
    Place,
    Prompt,
    Quant,
    Question,
    Tokens,
    prompt_of,
    read_config,
    read_tokens,
)
from pipelines.nets.qalign.language import FRAMES, TEXT, DecoderLayer, Language, Layers, Prefix
from pipelines.nets.qalign.offload import OffloadedLayers, ResidentLayers
from pipelines.nets.qalign.quantization import fill_weight
from pipelines.nets.qalign.vision import Vision

_VISION, _ABSTRACTOR, _LAYER = "model.vision_model.", "model.visual_abstractor.", "model.layers."
_LANGUAGE, _WORDS, _HEAD = "model.", "model.embed_tokens.weight", "lm_head.weight"
_TABLES = (".q_pos_embed", ".k_pos_embed")


class QAlign(nn.Module):
    """The loaded network. Only one thread may call its methods at a time."""

    levels: Tensor
    """Rows of the head for the level words, float32."""

    def __init__(self, config: Config, tokens: Tokens, checkpoint: Checkpoint, language: Language) -> None:
        super().__init__()
        self.config = config
        self.vision = Vision(config.vision)
        self.abstractor = Abstractor(config.abstractor, config.language.width)
        self.language = language
        self.register_buffer("levels", torch.empty(len(tokens.levels), config.language.width))
        self._tokens = tokens
        self._checkpoint = checkpoint
        self._prompts: dict[Prompt, tuple[Prefix, Tensor]] = {}

    @torch.no_grad()
    def encode_frames(self, pixels: Tensor) -> Tensor:
        """Encode frames `(n, 3, side, side)` from `normalised` to tokens `(n, queries + 1, width)`.

        The result is on the device, in the precision of the computation. Holds one layer's activations of `n` frames.
        """
        like = self.vision.embeddings.cls_token
        out: Tensor = self.abstractor(self.vision(pixels.to(like.device, like.dtype)))
        return out

    @torch.no_grad()
    def level_logits(self, features: Tensor, prompt: Question = "video_quality") -> Tensor:
        """Return the logits of the five level words as the next token, `(b, 5)` float32 from excellent to bad.

        Args:
            features: tokens of `w` frames per sequence, frame by frame: `(b, w * (queries + 1), width)`.
            prompt: a task, token ids before and after the frames, or a sequence of ids in which -200 stands for the
                frames.

        Raises ValueError for any other prompt.
        """
        prefix, after = self._prompt(prompt)
        features = features.to(after.device, after.dtype)
        tokens = torch.cat((features, after.expand(len(features), -1, -1)), 1)
        runs = ((features.shape[1], FRAMES), (after.shape[1], TEXT))
        last: Tensor = self.language(tokens, runs, prefix)
        return last @ self.levels.T

    def scores(self, features: Tensor, prompt: Question = "video_quality") -> Tensor:
        """Return the scores `(b,)` float32, 0 bad to 1 excellent: the mean of `LEVEL_WEIGHTS` by probability."""
        logits = self.level_logits(features, prompt)
        return logits.softmax(1) @ torch.tensor(LEVEL_WEIGHTS, device=logits.device)

    def _prompt(self, question: Question) -> tuple[Prefix, Tensor]:
        """Return the prefix with its cache, and the embedded tokens after the frames."""
        ids = prompt_of(question, self._tokens)
        if ids not in self._prompts:
            self._prompts[ids] = Prefix(self._words(ids.before)), self._words(ids.after)
        return self._prompts[ids]

    def _words(self, ids: Sequence[int]) -> Tensor:
        like = self.vision.embeddings.cls_token
        return self._checkpoint.rows(_WORDS, ids).to(like.device, like.dtype)[None]


def load(
    path: Path | str | Mapping[str, Path],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    quant: Quant | None = None,
    *,
    place: Place = "device",
) -> QAlign:
    """Load a published checkpoint; beside the weights that stay in host memory, loading holds about one tensor there.

    Args:
        path: the folder with `config.json`, the shards and optionally `tokens.json`; or paths by published name.
        device: the device of the computation.
        dtype: the precision of the computation: float32 on CPUs, float16 on GPUs. Layers that are stored in a narrower
            type are kept in it.
        quant: quantize the matrices of the language model's layers to 8 or 4 bits; changes scores slightly.
        place: storage of these layers while others compute; changes only time and memory.

    Raises:
        WeightsMissing: if the folder, its `config.json` or a shard is missing.
        WeightsBroken: for files that cannot be read, for missing or unknown tensors or other shapes, and for values
            that are not finite.
    """
    config, tokens, checkpoint = inspect(path)
    device = torch.device(device)
    layers = _layers(config, checkpoint, device, dtype, quant, place)
    with torch.device("meta"):
        model = QAlign(config, tokens, checkpoint, Language(config.language, layers, dtype)).eval()
        model.vision.to(dtype)
        model.abstractor.to(dtype)
    model.to_empty(device=device).requires_grad_(False)
    for suffix, formula in zip(_TABLES, position_tables(config.abstractor), strict=True):
        for name, table in model.abstractor.named_buffers():
            if name.endswith(suffix):
                table.copy_(formula)
    _fill(model.vision, _VISION, checkpoint)
    _fill(model.abstractor, _ABSTRACTOR, checkpoint)
    _fill(model.language, _LANGUAGE, checkpoint)
    model.levels.copy_(checkpoint.rows(_HEAD, tokens.levels))
    return model


def inspect(path: Path | str | Mapping[str, Path]) -> tuple[Config, Tokens, Checkpoint]:
    """Return sizes, prompts and tensors of a checkpoint, checked for consistency; reads no values. Raises as `load`."""
    files = path if isinstance(path, Mapping) else files_in(Path(path))
    config = read_config(files)
    tokens, checkpoint = read_tokens(files, config), Checkpoint(files)
    shapes = expected_shapes(config)
    checkpoint.check(shapes, optional=[name for name in shapes if name.endswith(_TABLES)])
    return config, tokens, checkpoint


def files_in(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by name. Raises WeightsMissing if it cannot be read."""
    try:
        return {path.name: path for path in folder.iterdir()}
    except OSError as error:
        raise fault_of(error, WeightsMissing)(
            f"{folder} is not a readable folder ({error.strerror}).",
            "Give --weights the folder of q-future/one-align.",
        ) from error


def expected_shapes(config: Config) -> dict[str, Shape]:
    """Return the shape of every tensor of the published files, by name."""
    text = config.language
    with torch.device("meta"):
        parts = {_VISION: Vision(config.vision), _ABSTRACTOR: Abstractor(config.abstractor, text.width)}
        layer = DecoderLayer(text, torch.float32, torch.float32, None)
    modules = {**parts, **{f"{_LAYER}{i}.": layer for i in range(text.layers)}}
    shapes = {
        f"{prefix}{name}": tuple(tensor.shape)
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    words = (text.vocabulary, text.width)
    return {**shapes, f"{_LANGUAGE}norm.weight": (text.width,), _WORDS: words, _HEAD: words}


def _fill(module: nn.Module, prefix: str, checkpoint: Checkpoint) -> None:
    """Copy the checkpoint's values to a module's tensors; those that the files lack stay as they are."""
    own = {f"{prefix}{name}": tensor for name, tensor in module.state_dict().items()}
    for name, tensor in checkpoint.tensors([name for name in own if name in checkpoint]):
        own[name].copy_(tensor)


def _layers(
    config: Config,
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    quant: Quant | None,
    place: Place,
) -> Layers:
    """Load the language model's layers into the storage `place`."""
    count = config.language.layers
    stored = next(checkpoint.tensors([f"{_LAYER}0.self_attn.q_proj.weight"]))[1].dtype
    kept = stored if stored.itemsize < dtype.itemsize else dtype

    def make(where: torch.device = device) -> DecoderLayer:
        with where:
            return DecoderLayer(config.language, dtype, kept, quant).requires_grad_(False)

    def read(layer: DecoderLayer, i: int) -> None:
        matrices = {f"{_LAYER}{i}.{name}.weight": part for name, part in layer.parts()}
        for name, tensor in checkpoint.tensors(list(matrices)):
            fill_weight(matrices[name], tensor)

    if place == "disk":
        return OffloadedLayers(count, make, read, device)
    if place == "device":
        layers = [make() for _ in range(count)]
        for i, layer in enumerate(layers):
            read(layer, i)
        return ResidentLayers(layers)
    return OffloadedLayers(count, make, _from_host(count, make, read), device)


def _from_host(
    count: int, make: Callable[..., DecoderLayer], read: Callable[[DecoderLayer, int], None]
) -> Callable[[DecoderLayer, int], None]:
    """Load all layers into host memory and return a function that copies one of them to the device.

    They are quantized on the device, so that they are the same to the bit as if they stayed there.
    """
    waiting = [make(torch.device("cpu")) for _ in range(count)]
    packed = make()
    for i, layer in enumerate(waiting):
        read(packed, i)
        _copy(layer, packed)

    def transfer(layer: DecoderLayer, i: int) -> None:
        _copy(layer, waiting[i])

    return transfer


def _copy(to: DecoderLayer, layer: DecoderLayer) -> None:
    for own, other in zip(to.buffers(), layer.buffers(), strict=True):
        own.copy_(other)
