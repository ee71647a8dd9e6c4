"""What the engine alone is asked with: the published names and defaults, and no matter of other engines."""

import pytest
from pydantic import ValidationError

from pipelines.settings import InpaintSettings, engine_of

PUBLISHED = {
    "mode": "video_inpainting",
    "scale_h": 1.0,
    "scale_w": 1.2,
    "subvideo_length": 80,
    "neighbor_length": 10,
    "ref_stride": 10,
    "raft_iter": 20,
    "fp16": False,
    "save_fps": 24,
}


def test_names_and_defaults_are_the_published_ones():
    settings = InpaintSettings()
    assert {name: getattr(settings, name) for name in PUBLISHED} == PUBLISHED
    assert settings.mask_dilation == 4
    assert {
        name for name in InpaintSettings.model_fields if engine_of(InpaintSettings, name) == "propainter"
    } == {
        *PUBLISHED,
        "reference_output",
    }


def test_to_another_engine_they_mean_nothing():
    plain, asked = (
        InpaintSettings(engine="flow"),
        InpaintSettings(engine="flow", subvideo_length=40, fp16=True),
    )
    assert plain.identity() == asked.identity()
    assert not set(PUBLISHED) & set(plain.identity())
    ours = InpaintSettings(engine="propainter", subvideo_length=40)
    assert ours.identity() != InpaintSettings(engine="propainter").identity()


@pytest.mark.parametrize("asked", [{"mode": "video_outpainting"}, {"reference_output": True}])
def test_what_only_one_engine_can_do_asks_for_that_engine(asked):
    assert InpaintSettings(**asked).engine == "propainter"
    assert InpaintSettings.model_validate(
        InpaintSettings(**asked).model_dump(mode="json")
    ) == InpaintSettings(**asked)
    with pytest.raises(ValidationError, match="the engine flow cannot"):
        InpaintSettings(engine="flow", **asked)


@pytest.mark.parametrize(
    "asked",
    [{"neighbor_length": 1}, {"ref_stride": 0}, {"subvideo_length": 1}, {"scale_w": 0.9}, {"raft_iter": 0}],
)
def test_what_cannot_be_scheduled_is_refused(asked):
    with pytest.raises(ValidationError):
        InpaintSettings(engine="propainter", **asked)
