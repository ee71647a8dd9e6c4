"""Q-Align's sizes from `config.json`, its prompts and level words as token ids, and its weight counts.

Integers only, no torch: memory is planned from these before anything is loaded. Prompts and ids are those of
`q-future/one-align` with the LLaMA vocabulary; a file `tokens.json` beside the weights replaces them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from pipelines.errors import WeightsBroken, WeightsMissing

Task = Literal["video_quality", "image_quality", "image_aesthetics"]
Quant = Literal["int8", "int4"]
Place = Literal["device", "host", "disk"]
"""Storage of the language model's layers while other layers compute."""

LEVEL_WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Score of each level, from excellent to bad, as published."""

GROUP = 64
"""Weights that share a scale in 4 bits, at most: smaller groups would cost more memory for scales."""


class Prompt(NamedTuple):
    """Token ids before the frames, starting with the begin-of-text token, and after them; neither is empty."""

    before: tuple[int, ...]
    after: tuple[int, ...]


Question = Prompt | Task | Sequence[int]
"""A prompt, a task that has one, or a sequence of ids in which `FRAMES_ID` stands for the frames."""

FRAMES_ID = -200
"""Placeholder of the published code for the frames."""


class Tokens(NamedTuple):
    """A prompt for each task, and the ids of the level words from excellent to bad."""

    prompts: Mapping[Task, Prompt]
    levels: tuple[int, ...]


_QUALITY_BEFORE = (1, 3148, 1001, 29901, 1128, 723, 366, 6554, 278, 11029, 310, 445)
_QUALITY_AFTER = (29871, 13, 22933, 9047, 13566, 29901, 450, 11029, 310, 278)
_AESTHETICS_BEFORE = (1, 3148, 1001, 29901, 1128, 723, 366, 6554, 278, 263, 342, 9188, 1199, 310, 445)
_AESTHETICS_AFTER = (29871, 13, 22933, 9047, 13566, 29901, 450, 263, 342, 9188, 1199, 310, 278)
_VIDEO, _IMAGE, _IS, _END = 4863, 1967, 338, (29973, 13)

PUBLISHED = Tokens(
    {
        "video_quality": Prompt((*_QUALITY_BEFORE, _VIDEO, *_END), (*_QUALITY_AFTER, _VIDEO, _IS)),
        "image_quality": Prompt((*_QUALITY_BEFORE, _IMAGE, *_END), (*_QUALITY_AFTER, _IMAGE, _IS)),
        "image_aesthetics": Prompt((*_AESTHETICS_BEFORE, _IMAGE, *_END), (*_AESTHETICS_AFTER, _IMAGE, _IS)),
    },
    (15129, 1781, 6534, 6460, 4319),
)
""""USER: How would you rate the quality of this video?", newline, frames, newline, "ASSISTANT: The quality of the
video is"; and the words excellent, good, fair, poor, bad."""


def prompt_of(question: Question, tokens: Tokens) -> Prompt:
    """Return the prompt of `question`. Raises ValueError for an unknown task or malformed ids."""
    if isinstance(question, str):
        if question not in tokens.prompts:
            raise ValueError(f"there are prompts for {', '.join(tokens.prompts)}, not for {question!r}")
        return tokens.prompts[question]
    parts: list[Any] = list(question)
    if FRAMES_ID in parts:
        position = parts.index(FRAMES_ID)
        parts = [parts[:position], parts[position + 1 :]]
    match parts:
        case [[_, *_] as before, [_, *_] as after] if FRAMES_ID not in after:
            return Prompt(tuple(before), tuple(after))
    raise ValueError("a prompt needs ids before and after the frames, and the frames exactly once")


class _Sizes(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _left_out(cls, values: Any) -> Any:
        """Treat null fields as missing, so that they get the published size."""
        return {k: v for k, v in values.items() if v is not None} if isinstance(values, dict) else values


class VisionSizes(_Sizes):
    """Sizes of the vision tower, which takes a square image in square patches."""

    width: PositiveInt = Field(1024, alias="hidden_size")
    heads: PositiveInt = Field(16, alias="num_attention_heads")
    layers: PositiveInt = Field(24, alias="num_hidden_layers")
    mlp_width: PositiveInt = Field(4096, alias="intermediate_size")
    image_side: PositiveInt = Field(448, alias="image_size")
    patch_side: PositiveInt = Field(14, alias="patch_size")
    eps: PositiveFloat = Field(1e-6, alias="layer_norm_eps")

    @property
    def tokens(self) -> int:
        """Number of tokens: the patches, and one for the whole image."""
        return (self.image_side // self.patch_side) ** 2 + 1


class AbstractorSizes(_Sizes):
    """Sizes of the abstractor, which turns a frame's vision tokens into a few language tokens."""

    queries: PositiveInt = Field(64, alias="num_learnable_queries")
    width: PositiveInt = Field(1024, alias="hidden_size")
    vision_width: PositiveInt = Field(1024, alias="encoder_hidden_size")
    heads: PositiveInt = Field(16, alias="num_attention_heads")
    layers: PositiveInt = Field(6, alias="num_hidden_layers")
    mlp_width: PositiveInt = Field(2816, alias="intermediate_size")
    grid: PositiveInt = Field(32, alias="grid_size")
    """Patches per side; by default those of the vision tower."""
    eps: PositiveFloat = Field(1e-6, alias="layer_norm_eps")


class LanguageSizes(_Sizes):
    """Sizes of the language model."""

    vocabulary: PositiveInt = Field(32000, alias="vocab_size")
    width: PositiveInt = Field(4096, alias="hidden_size")
    heads: PositiveInt = Field(32, alias="num_attention_heads")
    kv_heads: PositiveInt | None = Field(None, alias="num_key_value_heads")
    layers: PositiveInt = Field(32, alias="num_hidden_layers")
    mlp_width: PositiveInt = Field(11008, alias="intermediate_size")
    eps: PositiveFloat = Field(1e-6, alias="rms_norm_eps")
    rope_base: PositiveFloat = Field(10000.0, alias="rope_theta")
    rope_scaling: Any = None
    positions: PositiveInt = Field(2048, alias="max_position_embeddings")

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of each matrix of a layer; keys and values have one for text and one for frames."""
        square, wide = (self.width, self.width), (self.mlp_width, self.width)
        return (square,) * 6 + (wide, wide, wide[::-1])


class Config(_Sizes):
    """All sizes of a checkpoint, and the data type in which it says that it is stored."""

    vision: VisionSizes = VisionSizes()
    abstractor: AbstractorSizes = AbstractorSizes()
    language: LanguageSizes = LanguageSizes()
    stored: Literal["bfloat16", "float16", "float32"] = "bfloat16"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        v, a, t = self.vision, self.abstractor, self.language
        rules = {
            "heads that divide the width": v.width % v.heads == a.width % a.heads == t.width % t.heads == 0,
            "heads of an even width in the language model": t.width // t.heads % 2 == 0,
            "as many key heads as heads": t.kv_heads in (None, t.heads),
            "rotary positions without scaling": t.rope_scaling is None,
            "whole patches": v.image_side % v.patch_side == 0,
            "vision tokens as wide as the abstractor's": v.width == a.vision_width == a.width,
            "tables of an even width": a.width % 4 == 0,
            "a grid with as many cells as there are patches": a.grid**2 == v.tokens - 1,
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise ValueError(f"the network needs {', '.join(broken)}")
        return self

    @property
    def frame_tokens(self) -> int:
        """Number of tokens of a frame in the language model: the queries, and one that ends the frame."""
        return self.abstractor.queries + 1

    @property
    def frame_numbers(self) -> int:
        """Number of values in a frame's features."""
        return self.frame_tokens * self.language.width

    @property
    def seen_weights(self) -> int:
        """Number of weights of the vision tower and the abstractor."""
        v, a = self.vision, self.abstractor
        tower = v.layers * (4 * v.width**2 + 2 * v.width * v.mlp_width + 9 * v.width + v.mlp_width)
        tower += v.width * (3 * v.patch_side**2 + v.tokens + 5)
        each = 4 * a.width**2 + 3 * a.width * a.mlp_width + 4 * a.width + 6 * a.width + a.width
        each += 4 * a.mlp_width + a.width * (a.queries + v.tokens)
        out = self.language.width * (a.width + 2)
        return tower + a.layers * each + a.queries * a.width + out

    @property
    def layer_weights(self) -> int:
        """Number of weights in the matrices of a layer of the language model."""
        return sum(rows * columns for rows, columns in self.language.matrices)

    @property
    def weights(self) -> int:
        """Number of all weights, without position tables."""
        t = self.language
        text = 2 * t.vocabulary * t.width + t.layers * (self.layer_weights + 4 * t.width) + t.width
        a, v = self.abstractor, self.vision
        return text + self.seen_weights - a.layers * a.width * (a.queries + v.tokens)

    def layer_bytes(self, bits: int) -> int:
        """Bytes of a layer of the language model at `bits` per weight, scales included."""
        scales = 0.0
        if bits == 8:
            scales = sum(4 * rows for rows, _ in self.language.matrices)
        elif bits == 4:
            scales = sum(4 * rows * columns / group_of(columns) for rows, columns in self.language.matrices)
        return int(self.layer_weights * bits / 8 + scales) + 16 * self.language.width


def group_of(columns: int) -> int:
    """Return the largest group size, at most `GROUP`, that divides a row of `columns` weights."""
    return next(size for size in range(min(GROUP, columns), 0, -1) if columns % size == 0)


def read_config(files: Mapping[str, Path]) -> Config:
    """Read the sizes from `config.json`; missing fields get the published sizes.

    Raises WeightsMissing if the file is missing, WeightsBroken if it is unreadable or describes another network.
    """
    if "config.json" not in files:
        raise WeightsMissing(
            "Q-Align's config.json is missing beside its weights.",
            "Give --weights the folder of q-future/one-align with all of its files.",
        )
    fields = _json(files["config.json"])
    nested = fields.get("visual_config") or {}
    try:
        vision = VisionSizes.model_validate(nested.get("visual_model") or {})
        abstractor = nested.get("visual_abstractor") or {}
        grid = abstractor.get("grid_size") or vision.image_side // vision.patch_side
        return Config.model_validate(
            {
                "language": fields,
                "vision": vision,
                "abstractor": {**abstractor, "grid_size": grid},
                "stored": fields.get("torch_dtype"),
            }
        )
    except (ValidationError, AttributeError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "its parts are not objects"
        raise WeightsBroken(
            f"{files['config.json']} describes a network that is not Q-Align: {why}.",
            "Fetch the files of q-future/one-align again.",
        ) from error


def read_tokens(files: Mapping[str, Path], config: Config) -> Tokens:
    """Return the published ids, or those of `tokens.json` (`prefix`, `suffix`, `levels`) if that file exists.

    Raises WeightsBroken if it does not hold them, or for ids outside the vocabulary.
    """
    tokens = PUBLISHED
    if path := files.get("tokens.json"):
        fields = _json(path)
        try:
            before, after, levels = (tuple(map(int, fields[key])) for key in ("prefix", "suffix", "levels"))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsBroken(
                f"{path} needs lists of numbers called prefix, suffix and levels.", "Correct or remove it."
            ) from error
        if not before or not after or len(levels) != len(LEVEL_WEIGHTS):
            raise WeightsBroken(
                f"{path} needs a prefix, a suffix and {len(LEVEL_WEIGHTS)} levels.", "Correct or remove it."
            )
        tokens = Tokens(dict.fromkeys(PUBLISHED.prompts, Prompt(before, after)), levels)
    ids = {*tokens.levels}.union(*(part for prompt in tokens.prompts.values() for part in prompt))
    if not all(0 <= each < config.language.vocabulary for each in ids):
        raise WeightsBroken(
            f"The prompt has token ids up to {max(ids)}, the vocabulary only {config.language.vocabulary} tokens.",
            "Weights with another vocabulary need a tokens.json with prefix, suffix and levels.",
        )
    return tokens


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsBroken(f"{path} is not readable JSON.", "Fetch the file again.") from error
    if not isinstance(fields, dict):
        raise WeightsBroken(f"{path} does not hold a JSON object.", "Fetch the file again.")
    return fields
