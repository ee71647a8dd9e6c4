"""Registers the task `inpaint`."""

from dataclasses import replace
from pathlib import Path

from pipelines.errors import BadInput
from pipelines.settings import InpaintSettings
from pipelines.spec import FolderSpec, TaskSpec, register_task
from pipelines.storage.video_folders import natural_key
from pipelines.tracking.inputs import MASK, VIDEO, tracker_of

_MASK = replace(
    MASK,
    help=f"{MASK.help} For a folder of videos: a folder with one mask per video, named after it.",
    required=lambda settings: not settings.follows and not settings.outpaints,
)


def _check_folder(settings: InpaintSettings, masks: tuple[Path, ...]) -> None:
    """Raise BadInput if boxes or points, which are positions in one video, are given for a folder of videos."""
    if not masks and not settings.outpaints:
        raise BadInput(
            "Boxes and points apply to a single video.",
            "For a folder of videos, give --mask a folder with one mask per video.",
        )


def _mask_of(video: Path, others: tuple[Path, ...]) -> tuple[Path, ...]:
    """Find the mask of one video of a folder. Raises BadInput if there is none, or more than one."""
    if not others:
        return ()
    (masks,) = others
    if not masks.is_dir():
        raise BadInput(
            f"{masks} is not a folder.", "Give --mask a folder with one mask per video, named after it."
        )
    found = sorted(
        (p for p in masks.iterdir() if p.name == video.stem or (not p.is_dir() and p.stem == video.stem)),
        key=lambda path: natural_key(path.name),
    )
    if len(found) == 1:
        return (found[0],)
    what = f"has several masks ({', '.join(p.name for p in found)})" if found else "has no mask"
    raise BadInput(
        f"{masks} {what} for {video.name}.",
        f"Keep one file (with any suffix) or folder named {video.stem}.",
    )


register_task(
    TaskSpec(
        name="inpaint",
        title=("Remove object", "移除物体"),
        help="Remove an object from a video, or from each video of a folder: the masked area is filled from other "
        "frames.",
        settings=InpaintSettings,
        inputs=(VIDEO, _MASK),
        result_version=11,
        suffixes=(".json", ".csv", ".png"),
        folder=FolderSpec(
            "inpainted",
            {
                "frames": 0,
                "mean_hole_share": 0.0,
                "mean_invented_share": 0.0,
                "worst_frame": None,
                "worst_invented_share": 0.0,
            },
            check=_check_folder,
            others=_mask_of,
        ),
        curve=("Generated share of the filled area", "填补部分中由程序生成的比例"),
        before_and_after=True,
        done=lambda settings: "extended" if settings.outpaints else "removed",
        models=tracker_of,
    )
)
