"""The kind of a job follows from its task and settings alone, so the same request is called the same everywhere."""

from pathlib import Path

import pytest

from pipelines.jobs.job import Job
from pipelines.settings import AnimateSettings, InpaintSettings, ScoreSettings, trial
from ui.jobs.kind import kind_of, kind_of_request


@pytest.mark.parametrize("asked", [{}, {"start": 0.1}, {"start": 3.3, "end": 60.0}])
@pytest.mark.parametrize(("task", "model"), [("inpaint", InpaintSettings), ("animate", AnimateSettings)])
def test_a_trial_is_a_preview_and_what_was_asked_for_is_a_part_or_the_full_run(
    task: str, model: type[InpaintSettings], asked: dict[str, float]
) -> None:
    settings = model(**asked)
    assert kind_of_request(task, settings.model_dump(mode="json")) == ("part" if asked else "full")
    assert kind_of_request(task, trial(settings).model_dump(mode="json")) == "preview"


def test_a_range_shorter_than_a_preview_is_a_part() -> None:
    assert kind_of_request("inpaint", trial(InpaintSettings(end=1.5)).model_dump(mode="json")) == "part"


def test_a_mask_is_checked_whatever_its_length() -> None:
    assert kind_of_request("track", {}) == "mask_check"
    assert kind_of_request("track", {"start": 0.0, "end": 2.0}) == "mask_check"


def test_scores_have_no_preview() -> None:
    assert kind_of_request("score", trial(ScoreSettings()).model_dump(mode="json")) == "part"


@pytest.mark.parametrize(
    "asked", [{"start": "early", "end": []}, {"end": None}, {"end": "2.0"}, {"start": True}]
)
def test_settings_of_other_versions_and_tasks_are_no_error(asked: dict[str, object]) -> None:
    assert kind_of_request("inpaint", asked) == "full"
    assert kind_of_request("of a plug-in that is gone", asked) == "full"


def test_a_job_has_the_kind_of_its_request(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"any")
    job = Job.create(tmp_path / "jobs", "inpaint", (clip,), trial(InpaintSettings(start=1.0)), 1)
    assert kind_of(job) == "preview"
