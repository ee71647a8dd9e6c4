"""Masks by a network, an extra: SAM 2 (Ravi et al. 2024), as `transformers` has it.

Frames are streamed through the network's memory of what it saw last; that memory is kept to what is looked at.
"""

import zlib
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.errors import WeightsMissing
from pipelines.inpainting.background import CHUNK_FRAMES, Frames, Pixels
from pipelines.inpainting.hints import Hint, checked
from pipelines.inpainting.tracking import Tracked
from pipelines.spans import Span

PUBLISHED = "facebook/sam2.1-hiera-tiny"
FILES = ("config.json", "model.safetensors")

_KIND = "sam2_video"
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_ON, _OFF, _BOX_START, _BOX_END = 1, 0, 2, 3
_OBJECT = 0


@dataclass(frozen=True)
class Segmenter:
    """A loaded network. Holds its weights on `device`: SAM 2.1 tiny has 39 million parameters."""

    model: Any
    device: str

    @property
    def side_px(self) -> int:
        """The side of the square that frames are scaled to."""
        return int(self.model.config.image_size)


def load_segmenter(source: str | Path = PUBLISHED, device: str = "cpu") -> Segmenter:
    """Load a network from a folder with `config.json` and `model.safetensors`, or by its name on the hub.

    Raises:
        WeightsMissing: the packages or the files are not there, or they are of another network.
    """
    try:
        import transformers
    except ImportError as error:
        raise WeightsMissing(
            "The network tracker needs the package transformers.", "pip install -r requirements-track.txt"
        ) from error
    try:
        config = transformers.AutoConfig.from_pretrained(source)
        if config.model_type != _KIND:
            raise _missing(source, f"it is a {config.model_type}, not a {_KIND}")
        model = transformers.Sam2VideoModel.from_pretrained(source, use_safetensors=True)
    except (OSError, ValueError, ImportError) as error:
        raise _missing(source, str(error).strip().partition("\n")[0]) from error
    return Segmenter(model.to(device).eval(), device)


def _missing(source: str | Path, why: str) -> WeightsMissing:
    return WeightsMissing(
        f"The network tracker cannot be loaded from {source}: {why}.",
        f"Put {' and '.join(FILES)} of https://huggingface.co/{PUBLISHED} into a folder and name it, or track without "
        "a network.",
    )


def track_by_network(
    segmenter: Segmenter, frames_from: Frames, hints: Sequence[Hint], start: int, stop: int
) -> Generator[Tracked]:
    """A mask for each frame of `[start, stop)`, in order, as `tracking.track` gives them.

    Frames before the first hint are walked backwards first. Holds the network's memory of a few frames and of each
    hint, `CHUNK_FRAMES` frames while walking backwards, and the compressed masks of the frames before the first hint.

    Raises:
        BadInput: a hint is empty, outside the picture or outside the frames, or there is none.
    """
    with closing(frames_from(start, start + 1)) as frames:
        rows, columns = next(frames).shape[:2]
    marked = {hint.frame: hint for hint in checked(hints, (columns, rows), Span(start, stop))}
    first = min(marked)
    with closing(_walk_back(segmenter, frames_from, marked[first], start)) as back:
        packed = [_packed(item) for item in back]
    while packed:
        yield _unpacked(*packed.pop(), (rows, columns))
    session = _Session(segmenter)
    with closing(frames_from(first, stop)) as frames:
        for frame, pixels in enumerate(frames, first):
            yield session.step(frame, pixels, marked.get(frame))


def _walk_back(segmenter: Segmenter, frames_from: Frames, hint: Hint, start: int) -> Generator[Tracked]:
    """The masks of the frames before `hint`, the last first."""
    session = _Session(segmenter, backward=True)
    for stop in range(hint.frame + 1, start, -CHUNK_FRAMES):
        begin = max(start, stop - CHUNK_FRAMES)
        with closing(frames_from(begin, stop)) as frames:
            chunk = list(frames)
        for frame in range(stop - 1, begin - 1, -1):
            item = session.step(frame, chunk.pop(), hint if frame == hint.frame else None)
            if frame < hint.frame:
                yield item


def _packed(item: Tracked) -> tuple[Tracked, bytes]:
    """A mask in a few hundred bytes; it is one thing on an empty picture."""
    bits = zlib.compress(np.packbits(item.mask).tobytes(), 1)
    return Tracked(item.frame, item.box, np.zeros((0, 0), np.bool_), item.lost, item.trust), bits


def _unpacked(item: Tracked, bits: bytes, shape: tuple[int, int]) -> Tracked:
    mask = np.unpackbits(np.frombuffer(zlib.decompress(bits), np.uint8), count=shape[0] * shape[1])
    return Tracked(item.frame, item.box, mask.reshape(shape).astype(np.bool_), item.lost, item.trust)


class _Session:
    """A walk in one direction. Holds what the network remembers: the hints, and as many frames as it looks back."""

    def __init__(self, segmenter: Segmenter, *, backward: bool = False) -> None:
        import torch
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        self._model, self._side, self._device = segmenter.model, segmenter.side_px, segmenter.device
        self._backward = backward
        self._session = Sam2VideoInferenceSession(
            inference_device=self._device,
            inference_state_device=self._device,
            video_storage_device=self._device,
            dtype=torch.float32,
        )
        self._index = self._session.obj_id_to_idx(_OBJECT)
        config = self._model.config
        self._looks_back = max(config.num_maskmem, config.max_object_pointers_in_encoder)

    def step(self, frame: int, pixels: Pixels, hint: Hint | None) -> Tracked:
        """The mask of the next frame."""
        import torch

        if hint is not None:
            self._mark(frame, hint, pixels.shape)
        with torch.inference_mode():
            said = self._model(
                inference_session=self._session,
                frame_idx=frame,
                frame=self._tensor(pixels),
                reverse=self._backward,
            )
        logits = said.pred_masks[0, 0].float().cpu().numpy()
        score = float(said.object_score_logits.reshape(-1)[0])
        self._forget(frame)
        size = pixels.shape[1], pixels.shape[0]
        mask = cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR) > 0
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        lost = score <= 0 or not mask.any()
        trust = 0.0 if lost else float(1 / (1 + np.exp(-score)))
        return Tracked(
            frame,
            (x, y, width, height),
            mask if hint is None or hint.mask is None else hint.mask,
            lost,
            trust,
        )

    def _mark(self, frame: int, hint: Hint, shape: tuple[int, ...]) -> None:
        """Tell the network what the user marked, in its square."""
        import torch

        if hint.mask is not None:
            square = cv2.resize(
                hint.mask.astype(np.float32), (self._side, self._side), interpolation=cv2.INTER_AREA
            )
            mask = torch.from_numpy((square > 0.5).astype(np.float32))[None, None]
            self._session.add_mask_inputs(self._index, frame, mask)
        else:
            places = [(p.x, p.y, _ON if p.on_object else _OFF) for p in hint.points]
            if hint.box is not None:
                x, y, width, height = hint.box
                places = [(x, y, _BOX_START), (x + width, y + height, _BOX_END), *places]
            scale = self._side / shape[1], self._side / shape[0]
            inputs = {
                "point_coords": torch.tensor([[[(x * scale[0], y * scale[1]) for x, y, _ in places]]]),
                "point_labels": torch.tensor([[[label for *_, label in places]]], dtype=torch.int32),
            }
            self._session.add_point_inputs(self._index, frame, inputs)
        self._session.obj_with_new_inputs = [_OBJECT]

    def _tensor(self, pixels: Pixels) -> Any:
        """The frame as the network wants it, `(1, 3, side, side)` float32, normalised as ImageNet is."""
        import torch

        square = cv2.resize(pixels, (self._side, self._side), interpolation=cv2.INTER_LINEAR)
        values = (square.astype(np.float32) / 255 - _MEAN) / _DEVIATION
        return torch.from_numpy(values.transpose(2, 0, 1).copy())[None].to(self._device)

    def _forget(self, frame: int) -> None:
        """Drop what will not be looked at again; the library keeps every frame of a video."""
        session = self._session
        session.processed_frames.clear()
        kept = session.output_dict_per_obj[self._index]
        for outputs in kept.values():
            for output in outputs.values():
                output.pop("high_res_masks", None)
        for seen in (kept["non_cond_frame_outputs"], session.frames_tracked_per_obj[self._index]):
            for other in [other for other in seen if abs(frame - other) >= self._looks_back]:
                del seen[other]
