"""Q-Align ("one-align"), the published 8.2-billion-weight network that rates pictures and videos.

Frames become tokens once (`encode_frames`); any row of frames' tokens is then rated by what a language model would say
next: of five level words, how likely is each (`level_logits`). After Wu et al., "Q-Align: Teaching LMMs for Visual
Scoring via Discrete Text-Defined Levels" (2023); an implementation of its own, of published shapes and names.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.errors import WeightsMissing
from pipelines.nets.qalign.abstractor import Abstractor, place_tables
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
from pipelines.nets.qalign.quantization import filled
from pipelines.nets.qalign.vision import Vision

_VISION, _ABSTRACTOR, _LAYER = "model.vision_model.", "model.visual_abstractor.", "model.layers."
_LANGUAGE, _WORDS, _HEAD = "model.", "model.embed_tokens.weight", "lm_head.weight"
_TABLES = (".q_pos_embed", ".k_pos_embed")


class QAlign(nn.Module):
    """The network, loaded. Its methods may be called from one thread at a time."""

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

    @torch.inference_mode()
    def encode_frames(self, pixels: Tensor) -> Tensor:
        """Tokens of frames: `(n, 3, side, side)`, as `normalised` gives them -> `(n, queries + 1, width)`.

        In the type that is computed with, on the device. Holds the activations of `n` frames in one layer.
        """
        place = self.vision.embeddings.cls_token
        out: Tensor = self.abstractor(self.vision(pixels.to(place.device, place.dtype)))
        return out

    @torch.inference_mode()
    def level_logits(self, features: Tensor, prompt: Question = "video_quality") -> Tensor:
        """How likely each level word is to come next, `(b, 5)` float32 from excellent to bad.

        Args:
            features: tokens of `w` frames a row, one frame after the other: `(b, w * (queries + 1), width)`.
            prompt: what is asked: by its task, as token ids before and after the frames, or as a row of ids in which
                -200 stands for the frames.

        Raises ValueError for a prompt that is none of these.
        """
        prefix, after = self._prompt(prompt)
        features = features.to(after.device, after.dtype)
        tokens = torch.cat((features, after.expand(len(features), -1, -1)), 1)
        runs = ((features.shape[1], FRAMES), (after.shape[1], TEXT))
        last: Tensor = self.language(tokens, runs, prefix)
        return last @ self.levels.T

    def scores(self, features: Tensor, prompt: Question = "video_quality") -> Tensor:
        """The same as a score, 0 bad to 1 excellent: `(b,)` float32."""
        logits = self.level_logits(features, prompt)
        return logits.softmax(1) @ torch.tensor(LEVEL_WEIGHTS, device=logits.device)

    def _prompt(self, question: Question) -> tuple[Prefix, Tensor]:
        """The beginning, with what was kept of it, and the embedded end."""
        ids = prompt_of(question, self._tokens)
        if ids not in self._prompts:
            self._prompts[ids] = Prefix(self._words(ids.before)), self._words(ids.after)
        return self._prompts[ids]

    def _words(self, ids: Sequence[int]) -> Tensor:
        place = self.vision.embeddings.cls_token
        return self._checkpoint.rows(_WORDS, ids).to(place.device, place.dtype)[None]


def load(
    path: Path | str | Mapping[str, Path],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    quant: Quant | None = None,
    *,
    place: Place = "device",
) -> QAlign:
    """Load a published checkpoint; host memory stays near one tensor beside what is kept there.

    Args:
        path: the folder with `config.json`, the shards and perhaps `tokens.json`; or published names and their files.
        device: where it computes.
        dtype: what it computes in: float32 on CPUs, float16 on cards. Layers whose stored type is narrower stay so.
        quant: keep the matrices of the language model's layers in 8 or 4 bits; this changes scores a little.
        place: where these layers wait for their turn; this changes nothing but time and memory.

    Raises:
        WeightsMissing: where the folder, its `config.json` or a shard is not there.
        WeightsBroken: for files that cannot be read, that lack a tensor or have one too many or of another shape, and
            for numbers that are not finite.
    """
    config, tokens, checkpoint = inspect(path)
    device = torch.device(device)
    layers = _layers(config, checkpoint, device, dtype, quant, place)
    with torch.device("meta"):
        model = QAlign(config, tokens, checkpoint, Language(config.language, layers, dtype)).eval()
        model.vision.to(dtype)
        model.abstractor.to(dtype)
    model.to_empty(device=device).requires_grad_(False)
    for place_table, formula in zip(_TABLES, place_tables(config.abstractor), strict=True):
        for name, table in model.abstractor.named_buffers():
            if name.endswith(place_table):
                table.copy_(formula)
    _fill(model.vision, _VISION, checkpoint)
    _fill(model.abstractor, _ABSTRACTOR, checkpoint)
    _fill(model.language, _LANGUAGE, checkpoint)
    model.levels.copy_(checkpoint.rows(_HEAD, tokens.levels))
    return model


def inspect(path: Path | str | Mapping[str, Path]) -> tuple[Config, Tokens, Checkpoint]:
    """Sizes, prompts and tensors of a checkpoint, checked against each other; no numbers are read. Raises as `load`."""
    files = path if isinstance(path, Mapping) else files_in(Path(path))
    config = read_config(files)
    tokens, checkpoint = read_tokens(files, config), Checkpoint(files)
    shapes = wanted(config)
    checkpoint.check(shapes, optional=[name for name in shapes if name.endswith(_TABLES)])
    return config, tokens, checkpoint


def files_in(folder: Path) -> dict[str, Path]:
    """The files of a folder by name. Raises WeightsMissing where it cannot be read."""
    try:
        return {path.name: path for path in folder.iterdir()}
    except OSError as error:
        raise WeightsMissing(
            f"{folder} is no folder that can be read ({error.strerror}).",
            "Give --weights the folder of q-future/one-align.",
        ) from error


def wanted(config: Config) -> dict[str, Shape]:
    """Every tensor of the published files with its shape."""
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
    """Give a module's tensors their numbers, those that the files have."""
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
    """The language model's layers, kept where they are to wait."""
    count = config.language.layers
    stored = next(checkpoint.tensors([f"{_LAYER}0.self_attn.q_proj.weight"]))[1].dtype
    kept = stored if stored.itemsize < dtype.itemsize else dtype

    def make(where: torch.device = device) -> DecoderLayer:
        with where:
            return DecoderLayer(config.language, dtype, kept, quant).requires_grad_(False)

    def read(layer: DecoderLayer, i: int) -> None:
        matrices = {f"{_LAYER}{i}.{name}.weight": part for name, part in layer.parts()}
        for name, tensor in checkpoint.tensors(list(matrices)):
            filled(matrices[name], tensor)

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
    """What copies layers from host memory, where it puts them; packed on the device, as if they stayed there."""
    waiting = [make(torch.device("cpu")) for _ in range(count)]
    packed = make()
    for i, layer in enumerate(waiting):
        read(packed, i)
        _copy(layer, packed)

    def bring(layer: DecoderLayer, i: int) -> None:
        _copy(layer, waiting[i])

    return bring


def _copy(to: DecoderLayer, layer: DecoderLayer) -> None:
    for own, other in zip(to.buffers(), layer.buffers(), strict=True):
        own.copy_(other)
