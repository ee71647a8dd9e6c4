"""The settings of the tasks. One field is one place for a type, range, default, unit and sentence.

The page's form, the flags of the command line and the parameters of the API are made from these models;
nothing repeats a default. A field says in `json_schema_extra` its `unit` and whether it `changes_result`:
those that do are part of a job's id, the others only say how it is run. A field that only one engine has names it
(`engine`) and is ignored in jobs of other engines.
"""

from pipelines.settings.animation import (
    AnimateSettings,
    PortraitOptions,
    PoseSettings,
    Region,
    SourceCut,
    SourceFace,
)
from pipelines.settings.base import Machine, Settings, engine_of, trial
from pipelines.settings.inpainting import InpaintSettings, MaskSettings, ProPainterSettings, TrackSettings
from pipelines.settings.scoring import ScoreSettings
from pipelines.settings.video_output import (
    VIDEO_SUFFIXES,
    Codec,
    CompareSettings,
    CopySettings,
    FilmSettings,
    FixedCodec,
)

__all__ = [
    "VIDEO_SUFFIXES",
    "AnimateSettings",
    "Codec",
    "CompareSettings",
    "CopySettings",
    "FilmSettings",
    "FixedCodec",
    "InpaintSettings",
    "Machine",
    "MaskSettings",
    "PortraitOptions",
    "PoseSettings",
    "ProPainterSettings",
    "Region",
    "ScoreSettings",
    "Settings",
    "SourceCut",
    "SourceFace",
    "TrackSettings",
    "engine_of",
    "trial",
]
