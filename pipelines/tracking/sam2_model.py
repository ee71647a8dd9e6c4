"""Masks by a network, an extra: SAM 2 (Ravi et al. 2024), as `transformers` has it.

The network looks at one frame at a time, and at what it remembers: frames on which the user marked the object, and the
frames just before. A session is such a memory; it is kept to what is looked at.
"""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.tracking.fusion import Tracked
from pipelines.tracking.prompts import ObjectPrompt
from pipelines.vision.types import Mask, Pixels
from pipelines.weights.locate import find

MODEL = "sam2"

_KIND = "sam2_video"
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_ON, _OFF, _BOX_START, _BOX_END = 1, 0, 2, 3
_OBJECT = 0
_MOST_MARKED = 4
"""Marked frames that are attended to, the nearest ones: as many as in training (Ravi et al. 2024, appendix D)."""


@dataclass(frozen=True)
class Segmenter:
    """A loaded network. Holds its weights on `device`: SAM 2.1 tiny has 39 million parameters, 156 MB."""

    model: Any
    device: str

    @property
    def side_px(self) -> int:
        """The side of the square that frames are scaled to."""
        return int(self.model.config.image_size)

    @property
    def looks_back(self) -> int:
        """How many frames before one are looked at with their pixels."""
        return int(self.model.config.num_maskmem) - 1

    def square(self, pixels: Pixels) -> Pixels:
        """A frame as the network sees it, `(side, side, 3)` uint8."""
        side = (self.side_px, self.side_px)
        return np.asarray(cv2.resize(pixels, side, interpolation=cv2.INTER_LINEAR), np.uint8)


def is_installed() -> bool:
    """Whether the packages are there; loads none of them."""
    return find_spec("transformers") is not None


def find_segmenter(weights: Path | None = None) -> Path:
    """The folder with the network's files, in `weights` or the usual places. Raises WeightsMissing, WeightsBroken."""
    if not is_installed():
        raise WeightsMissing(
            "SAM 2 needs the package transformers.",
            "`pip install -r requirements-track.txt`, or leave out --tracker.",
        )
    config = find(MODEL, weights)["config.json"]
    try:
        kind = json.loads(config.read_bytes())["model_type"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _broken(config, "it is no configuration of a network") from error
    if kind != _KIND:
        raise _broken(config, f"it is of a {kind}, not of a {_KIND}")
    return config.parent


def load_segmenter(folder: Path, device: str = "cpu") -> Segmenter:
    """Load the network in `folder`, which has `config.json` and `model.safetensors`; nothing else is asked for them.

    Raises WeightsBroken where the files cannot be read or do not fit each other.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import Sam2VideoModel
    from transformers.utils import logging

    # Standard error is for our own progress.
    logging.disable_progress_bar()
    try:
        model, said = Sam2VideoModel.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, TypeError, AttributeError, SafetensorError) as error:
        raise _broken(folder, str(error).strip().partition("\n")[0]) from error
    # What a file lacks would be left as chance made it.
    if lacking := sorted([*said["missing_keys"], *map(str, said["mismatched_keys"])]):
        raise _broken(folder, f"{len(lacking)} tensors are missing or of another shape, such as {lacking[0]}")
    model.config.max_cond_frame_num = _MOST_MARKED
    return Segmenter(model.to(device=device, dtype=torch.float32).eval(), device)


def _broken(path: Path, why: str) -> WeightsBroken:
    return WeightsBroken(
        f"SAM 2 cannot be loaded from {path}: {why}.",
        f"`python -m pipelines weights {MODEL} --fetch` fetches it.",
    )


def found(frame: int, mask: Mask, trust: float = 1.0) -> Tracked:
    """The object where `mask` `(H, W)` is; lost where that is empty."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    lost = not width
    return Tracked(frame, (x, y, width, height), mask, lost, 0.0 if lost else trust)


class Session:
    """A memory: the hints that were marked, and as many frames as the network looks back. Frames come in order."""

    def __init__(self, segmenter: Segmenter, shape: tuple[int, int]) -> None:
        import torch
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        self._segmenter, self._shape = segmenter, shape
        self._marked: dict[int, ObjectPrompt] = {}
        self._inside: Any = Sam2VideoInferenceSession(
            inference_device=segmenter.device,
            inference_state_device=segmenter.device,
            video_storage_device=segmenter.device,
            dtype=torch.float32,
        )
        self._index = self._inside.obj_id_to_idx(_OBJECT)
        self._kept: dict[str, dict[int, Any]] = self._inside.output_dict_per_obj[self._index]
        config = segmenter.model.config
        self._remembers = max(config.num_maskmem, config.max_object_pointers_in_encoder)

    def mark(self, frame: int, square: Pixels, prompt: ObjectPrompt) -> None:
        """Remember what the user marked on a frame, for good."""
        if (exact := _exact(prompt)) is not None:
            self._inside.add_mask_inputs(self._index, frame, self._mask_tensor(exact))
        else:
            self._inside.add_point_inputs(self._index, frame, self._point_tensors(prompt))
        self._marked[frame] = prompt
        self._look(frame, square, new=True)

    def remember(self, frame: int, square: Pixels, mask: Mask) -> None:
        """Remember where the object was on a frame that was looked at in another session."""
        if frame in self._marked:
            return
        self._inside.add_mask_inputs(self._index, frame, self._mask_tensor(mask))
        self._look(frame, square, new=True)
        # A mask that is given counts as the user's; this one is not.
        self._kept["non_cond_frame_outputs"][frame] = self._kept["cond_frame_outputs"].pop(frame)

    def step(self, frame: int, square: Pixels) -> Tracked:
        """The object on the next frame."""
        said = self._look(frame, square)
        logits = said.pred_masks[0, 0].float().cpu().numpy()
        score = float(said.object_score_logits.reshape(-1)[0])
        self._forget(frame)
        rows, columns = self._shape
        mask: Mask = cv2.resize(logits, (columns, rows), interpolation=cv2.INTER_LINEAR) > 0
        if (exact := _exact(self._marked.get(frame))) is not None:
            mask = exact
        elif score <= 0:
            mask = np.zeros_like(mask)
        return found(frame, mask, float(1 / (1 + np.exp(-score))))

    def _look(self, frame: int, square: Pixels, *, new: bool = False) -> Any:
        """What the network says of a frame; `new` where it is told something about it."""
        import torch

        self._inside.obj_with_new_inputs = [_OBJECT] if new else []
        values = (square.astype(np.float32) / 255 - _MEAN) / _DEVIATION
        picture = torch.from_numpy(values.transpose(2, 0, 1).copy())[None].to(self._segmenter.device)
        with torch.inference_mode():
            said = self._segmenter.model(inference_session=self._inside, frame_idx=frame, frame=picture)
        self._inside.processed_frames.clear()
        for outputs in self._kept.values():
            outputs.get(frame, {}).pop("high_res_masks", None)
        return said

    def _mask_tensor(self, mask: Mask) -> Any:
        import torch

        side = (self._segmenter.side_px, self._segmenter.side_px)
        square = cv2.resize(mask.astype(np.float32), side, interpolation=cv2.INTER_AREA)
        return torch.from_numpy((square > 0.5).astype(np.float32))[None, None]

    def _point_tensors(self, prompt: ObjectPrompt) -> dict[str, Any]:
        import torch

        places = [(p.x, p.y, _ON if p.on_object else _OFF) for p in prompt.points]
        if prompt.mask is not None:
            places.append((*_deepest(prompt.mask), _ON))
        if prompt.box is not None:
            x, y, width, height = prompt.box
            places = [(x, y, _BOX_START), (x + width, y + height, _BOX_END), *places]
        across, down = (self._segmenter.side_px / side for side in reversed(self._shape))
        return {
            "point_coords": torch.tensor([[[(x * across, y * down) for x, y, _ in places]]]),
            "point_labels": torch.tensor([[[label for *_, label in places]]], dtype=torch.int32),
        }

    def _forget(self, frame: int) -> None:
        """Drop what will not be looked at again; the library keeps every frame of a video."""
        tracked = self._inside.frames_tracked_per_obj[self._index]
        for seen in (self._kept["non_cond_frame_outputs"], tracked):
            for other in [other for other in seen if abs(frame - other) >= self._remembers]:
                del seen[other]


def _exact(prompt: ObjectPrompt | None) -> Mask | None:
    """The mask of a hint that is nothing else: the network takes a mask, or places to look, not both."""
    if prompt is None or prompt.box is not None or any(p.on_object for p in prompt.points):
        return None
    return prompt.mask


def _deepest(mask: Mask) -> tuple[float, float]:
    """The place of a mask that is farthest from its border."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column - 1), float(row - 1)
