"""Motion that is kept as a template drives as the video did."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.animation.motion.templates import published_template, read_template
from pipelines.jobs import events

from .conftest import Ask, Draw, colours, done, pictures, run
from .fakes import FakePortrait

FRAMES = 13
READY = {"source_crop": "none"}


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
@pytest.mark.parametrize("moving", [False, True])
def test_a_template_drives_as_the_video_that_it_was_made_of(
    suffix: str, moving: bool, ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    source = draw("source", colours(FRAMES, 1) if moving else colours(1, 1)[0])
    driving = draw("driving", colours(FRAMES, 2))
    outputs = done(ask(source, driving, frames_out=tmp_path / "by-video", **READY))
    assert outputs.template
    template = read_template(outputs.template)
    assert (len(template.motions), template.rate, template.motions.eyes) == (FRAMES, 25, None)
    path = outputs.template if suffix == ".npz" else published_template(outputs.template)
    assert path.suffix == suffix
    again = done(ask(source, path, frames_out=tmp_path / "by-template", **READY))
    assert np.array_equal(pictures(tmp_path / "by-video"), pictures(tmp_path / "by-template"))
    assert again.template
    assert again.template.read_bytes() == outputs.template.read_bytes()


def test_a_picture_is_kept_as_a_template_of_one_frame(ask: Ask, draw: Draw, tmp_path: Path) -> None:
    source = draw("source", colours(1, 1)[0])
    outputs = done(ask(source, draw("driving", colours(1, 2)[0]), frames_out=tmp_path / "one", **READY))
    assert outputs.template
    assert len(read_template(outputs.template).motions) == 1
    done(ask(source, outputs.template, frames_out=tmp_path / "two", **READY))
    assert np.array_equal(pictures(tmp_path / "one"), pictures(tmp_path / "two"))


def test_a_part_of_a_template_begins_with_its_own_first_frame(ask: Ask, draw: Draw, tmp_path: Path) -> None:
    source, driving = draw("source", colours(1, 1)[0]), draw("driving", colours(FRAMES, 2))
    part = {"start": 0.2, "end": 0.4, **READY}
    done(ask(source, driving, frames_out=tmp_path / "one", **part))
    whole = done(ask(source, driving, **READY)).template
    assert whole
    done(ask(source, whole, frames_out=tmp_path / "two", **part))
    assert np.array_equal(pictures(tmp_path / "one"), pictures(tmp_path / "two"))


def test_a_template_without_openness_retargets_nothing(ask: Ask, draw: Draw) -> None:
    source = draw("source", colours(1, 1)[0])
    template = done(ask(source, draw("driving", colours(3, 2)), **READY)).template
    assert template
    ending = run(ask(source, template, flag_lip_retargeting=True, **READY))
    assert isinstance(ending, events.Failed)
    assert ending.code == "bad_input"
    assert len(FakePortrait.made) == 1
