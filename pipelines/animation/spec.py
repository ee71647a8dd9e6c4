"""Registers the task `animate`."""

from pipelines.settings import AnimateSettings
from pipelines.spec import FolderSpec, InputSpec, TaskSpec, register_task

register_task(
    TaskSpec(
        name="animate",
        title=("Animate portrait", "让肖像动起来"),
        help="Animate a portrait from a driving video, or from each video of a folder: its face moves like the driving "
        "face.",
        settings=AnimateSettings,
        inputs=(
            InputSpec(
                "source",
                "The portrait: a picture or a video.",
                ("Portrait: a picture or a video", "肖像：图片或视频"),
            ),
            InputSpec(
                "driving",
                "The driving video; also a picture or a motion template.",
                (
                    "Driving video (or image, motion template)",
                    "驱动视频（或图片、动作模板）",
                ),
                missing=("There is no driving video.", "Give a driving video, picture or motion template."),
            ),
        ),
        result_version=10,
        suffixes=(".png", ".json"),
        many=1,
        done=lambda settings: "animated",
        trial="animate_preview",
        folder=FolderSpec(
            "animated",
            {"frames": 0, "frames_at_rest": 0, "most_shift_eye_distances": None, "most_turn_degrees": None},
        ),
        curve=("Distance of the head from its first position", "头部离起始位置的距离"),
    )
)
