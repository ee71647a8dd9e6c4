"""Segmentation by the optional network SAM 2 (Ravi et al. 2024), from the package `transformers`.

The network processes one frame at a time and attends to its memory: prompted frames, and the frames just before. A
session is such a memory, kept to what the network still attends to.
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
"""Mean and deviation of ImageNet's colours, by which the network's input is normalised."""
_ON, _OFF, _BOX_START, _BOX_END = 1, 0, 2, 3
"""SAM 2's point labels: positive and negative clicks, and a box's upper left and lower right corners."""
_OBJECT = 0
"""Id of the only object of a session."""
_MOST_PROMPTS = 4
"""Prompted frames that the network attends to, the nearest: as many as in training (Ravi et al. 2024, appendix D)."""


@dataclass(frozen=True)
class Segmenter:
    """A loaded SAM 2 network. Holds its weights on `device`: SAM 2.1 tiny has 39 million parameters, 156 MB."""

    model: Any
    device: str

    @property
    def side_px(self) -> int:
        """Side of the square to which frames are resized."""
        return int(self.model.config.image_size)

    @property
    def memory_frames(self) -> int:
        """Number of preceding frames whose features the network attends to."""
        return int(self.model.config.num_maskmem) - 1

    def resized(self, pixels: Pixels) -> Pixels:
        """Resize a frame to the network's input, `(side_px, side_px, 3)` uint8."""
        side = (self.side_px, self.side_px)
        return np.asarray(cv2.resize(pixels, side, interpolation=cv2.INTER_LINEAR), np.uint8)


def is_installed() -> bool:
    """Whether the package is installed; does not import it."""
    return find_spec("transformers") is not None


def find_segmenter(weights: Path | None = None) -> Path:
    """Find the folder of the network's files, in `weights` or the usual places.

    Raises WeightsMissing, WeightsBroken.
    """
    if not is_installed():
        raise WeightsMissing(
            "SAM 2 needs the package transformers.",
            "Run `pip install -r requirements-track.txt`, or leave out --tracker.",
            "weights.missing",
            title="SAM 2",
        )
    config = find(MODEL, weights)["config.json"]
    try:
        kind = json.loads(config.read_bytes())["model_type"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _broken(config, "it is not a network configuration") from error
    if kind != _KIND:
        raise _broken(config, f"it describes a {kind}, not a {_KIND}")
    return config.parent


def load_segmenter(folder: Path, device: str = "cpu") -> Segmenter:
    """Load the network from `config.json` and `model.safetensors` in `folder`, without network access.

    Raises WeightsBroken if the files cannot be read or do not match.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import Sam2VideoModel
    from transformers.utils import logging

    # Standard error is reserved for our own progress.
    logging.disable_progress_bar()
    try:
        model, report = Sam2VideoModel.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, TypeError, AttributeError, SafetensorError) as error:
        raise _broken(folder, str(error).strip().partition("\n")[0]) from error
    # Missing tensors would stay randomly initialised.
    if missing := sorted([*report["missing_keys"], *map(str, report["mismatched_keys"])]):
        raise _broken(
            folder, f"{len(missing)} tensors are missing or have another shape, such as {missing[0]}"
        )
    model.config.max_cond_frame_num = _MOST_PROMPTS
    return Segmenter(model.to(device=device, dtype=torch.float32).eval(), device)


def _broken(path: Path, why: str) -> WeightsBroken:
    return WeightsBroken(
        f"SAM 2 cannot be loaded from {path}: {why}.",
        f"`python -m pipelines weights {MODEL} --fetch` fetches it.",
        "weights.broken",
    )


def tracked_from_mask(frame: int, mask: Mask, confidence: float = 1.0) -> Tracked:
    """Wrap `mask` `(H, W)` with its bounding box; an empty mask means that the object is lost."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    lost = not width
    return Tracked(frame, (x, y, width, height), mask, lost, 0.0 if lost else confidence)


class Session:
    """A memory of prompted frames and of the last frames. Frames must come in order."""

    def __init__(self, segmenter: Segmenter, shape: tuple[int, int]) -> None:
        import torch
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        self._segmenter, self._shape = segmenter, shape
        self._prompts: dict[int, ObjectPrompt] = {}
        self._session: Any = Sam2VideoInferenceSession(
            inference_device=segmenter.device,
            inference_state_device=segmenter.device,
            video_storage_device=segmenter.device,
            dtype=torch.float32,
        )
        self._index = self._session.obj_id_to_idx(_OBJECT)
        self._outputs: dict[str, dict[int, Any]] = self._session.output_dict_per_obj[self._index]
        config = segmenter.model.config
        self._memory_frames = max(config.num_maskmem, config.max_object_pointers_in_encoder)

    def add_prompt(self, frame: int, resized: Pixels, prompt: ObjectPrompt) -> None:
        """Add a prompt on a frame; it stays in memory."""
        if (exact := _exact_mask(prompt)) is not None:
            self._session.add_mask_inputs(self._index, frame, self._mask_tensor(exact))
        else:
            self._session.add_point_inputs(self._index, frame, self._point_tensors(prompt))
        self._prompts[frame] = prompt
        self._infer(frame, resized, new=True)

    def add_mask(self, frame: int, resized: Pixels, mask: Mask) -> None:
        """Add a mask that another session found on a frame; it leaves memory like any other."""
        if frame in self._prompts:
            return
        self._session.add_mask_inputs(self._index, frame, self._mask_tensor(mask))
        self._infer(frame, resized, new=True)
        # The library files input masks under prompted frames; this one is not a prompt.
        self._outputs["non_cond_frame_outputs"][frame] = self._outputs["cond_frame_outputs"].pop(frame)

    def step(self, frame: int, resized: Pixels) -> Tracked:
        """Segment the object on the next frame; `resized` is its input from `Segmenter.resized`."""
        output = self._infer(frame, resized)
        logits = output.pred_masks[0, 0].float().cpu().numpy()
        score = float(output.object_score_logits.reshape(-1)[0])
        self._drop_old(frame)
        rows, columns = self._shape
        mask: Mask = cv2.resize(logits, (columns, rows), interpolation=cv2.INTER_LINEAR) > 0
        if (exact := _exact_mask(self._prompts.get(frame))) is not None:
            mask = exact
        elif score <= 0:
            mask = np.zeros_like(mask)
        return tracked_from_mask(frame, mask, float(1 / (1 + np.exp(-score))))

    def _infer(self, frame: int, resized: Pixels, *, new: bool = False) -> Any:
        """Run the network on a frame; `new` if an input for it was just added."""
        import torch

        self._session.obj_with_new_inputs = [_OBJECT] if new else []
        values = (resized.astype(np.float32) / 255 - _MEAN) / _DEVIATION
        image = torch.from_numpy(values.transpose(2, 0, 1).copy())[None].to(self._segmenter.device)
        with torch.no_grad():
            output = self._segmenter.model(inference_session=self._session, frame_idx=frame, frame=image)
        self._session.processed_frames.clear()
        for stored in self._outputs.values():
            stored.get(frame, {}).pop("high_res_masks", None)
        return output

    def _mask_tensor(self, mask: Mask) -> Any:
        import torch

        side = (self._segmenter.side_px, self._segmenter.side_px)
        resized = cv2.resize(mask.astype(np.float32), side, interpolation=cv2.INTER_AREA)
        return torch.from_numpy((resized > 0.5).astype(np.float32))[None, None]

    def _point_tensors(self, prompt: ObjectPrompt) -> dict[str, Any]:
        import torch

        clicks = [(p.x, p.y, _ON if p.on_object else _OFF) for p in prompt.points]
        if prompt.mask is not None:
            clicks.append((*_innermost_point(prompt.mask), _ON))
        if prompt.box is not None:
            x, y, width, height = prompt.box
            clicks = [(x, y, _BOX_START), (x + width, y + height, _BOX_END), *clicks]
        across, down = (self._segmenter.side_px / side for side in reversed(self._shape))
        return {
            "point_coords": torch.tensor([[[(x * across, y * down) for x, y, _ in clicks]]]),
            "point_labels": torch.tensor([[[label for *_, label in clicks]]], dtype=torch.int32),
        }

    def _drop_old(self, frame: int) -> None:
        """Drop what the network will not attend to again; the library would keep every frame of the video."""
        tracked = self._session.frames_tracked_per_obj[self._index]
        for seen in (self._outputs["non_cond_frame_outputs"], tracked):
            for other in [other for other in seen if abs(frame - other) >= self._memory_frames]:
                del seen[other]


def _exact_mask(prompt: ObjectPrompt | None) -> Mask | None:
    """Return the mask of a prompt that consists of nothing else: SAM 2 takes a mask or points, not both."""
    if prompt is None or prompt.box is not None or any(p.on_object for p in prompt.points):
        return None
    return prompt.mask


def _innermost_point(mask: Mask) -> tuple[float, float]:
    """Return the point of a mask that is farthest from its border."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column - 1), float(row - 1)
