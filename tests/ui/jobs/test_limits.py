"""The rules of a server hold for every input of a job, not for its video alone."""

from fractions import Fraction

import pytest

from pipelines.errors import OverLimit
from pipelines.jobs.events import Facts, Planned
from ui.jobs.service import JobService
from ui.server.policy import Policy


def planned(*other_sizes: tuple[int, int]) -> Planned:
    """An estimate of a video of 96 x 64 and of inputs of these sizes."""
    facts = Facts(
        name="clip.mp4",
        container="mp4",
        codec="h264",
        width=96,
        height=64,
        frames=12,
        seconds=0.5,
        frame_rate=str(Fraction(25)),
        variable_frame_rate=False,
        rotation=0,
        sound=None,
        damage=None,
        other_sizes=other_sizes,
    )
    numbers = {
        name: 1 for name, field in Planned.model_fields.items() if field.annotation in (int, float | None)
    }
    words = {"engine": "", "risk": "low", "reason": "", "preset": "", "preset_reason": "", "job": ""}
    return Planned.model_validate({**numbers, **words, "facts": facts})


@pytest.mark.parametrize("sizes", [((8192, 8192),), ((480, 480), (8192, 8192))])
def test_a_portrait_or_mask_is_held_to_the_limit_on_megapixels(sizes: tuple[tuple[int, int], ...]) -> None:
    service = JobService.__new__(JobService)
    service.policy = Policy(max_megapixels=2)
    with pytest.raises(OverLimit, match=r"8192 × 8192 \(67\.1 megapixels\) is more than 2 megapixels"):
        service._check(planned(*sizes))
    service._check(planned((1920, 1000)))
    service.policy = Policy()
    service._check(planned(*sizes))
