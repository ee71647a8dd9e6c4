"""The task `animate`, as the registry knows it."""

from pipelines.settings import AnimateSettings
from pipelines.spec import FolderSpec, InputSpec, TaskSpec, register_task

register_task(
    TaskSpec(
        name="animate",
        title=("Animate portrait", "让肖像动起来"),
        help="Make a portrait follow a driving video, or each video of a folder: its face moves as the driving face "
        "does.",
        settings=AnimateSettings,
        inputs=(
            InputSpec(
                "source",
                "The portrait: a picture or a video.",
                ("Portrait: a picture or a video", "肖像：图片或视频"),
            ),
            InputSpec(
                "driving",
                "What drives the portrait: a video, a picture, a motion template.",
                (
                    "What it follows: a video, a picture or a motion template",
                    "跟随什么：视频、图片或动作模板",
                ),
                missing=("There is nothing to follow.", "Give a driving video, picture or template."),
            ),
        ),
        result_version=3,
        suffixes=(".png", ".json"),
        many=1,
        trial="animate_preview",
        folder=FolderSpec(
            "animated",
            {"frames": 0, "frames_at_rest": 0, "most_shift_eye_distances": None, "most_turn_degrees": None},
        ),
        curve=("How far the head is from where it began", "头部离起始位置的距离"),
    )
)
