"""The check of a mask against its video before a job is started."""

import hashlib
from pathlib import Path

from pipelines.settings import MaskSettings
from pipelines.workers.inspect import MaskQuestion
from ui.jobs.hashing import fingerprint
from ui.jobs.uploads import Ask, ask_process, place_of_look

_CHECKED = ("invert", "scale_mask", "start", "end")
"""The settings on which the answer depends."""


async def check_mask(
    video: Path, mask: Path, settings: MaskSettings, cache: Path, ask: Ask | None = None
) -> None:
    """Check that `mask` can be used for `video`, by a subprocess; once for the same files and settings.

    Raises BadInput, DamagedVideo, UnsupportedVideo or OverLimit where it cannot, and what `inspect_video` raises.
    """
    asked = settings.model_dump(mode="json", include=set(_CHECKED))
    known = [await fingerprint(path) for path in (video, mask)]
    identity = repr(sorted(asked.items()))
    place = place_of_look(cache, "masks", known, hashlib.sha256(identity.encode()).hexdigest())
    if not place.exists():
        question = MaskQuestion(video=video, mask=mask, asked=asked, place=place)
        await (ask or ask_process)(question)
