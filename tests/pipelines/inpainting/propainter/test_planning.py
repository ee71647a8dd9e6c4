"""The plan of a job on simulated cards: it fits, it is kept with the job, and a card of its own computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memory.budget import within_limit
from memory.devices import Device
from memory.probe import Hardware, Host
from memory.units import GIB
from pipelines.runtime import planning
from pipelines.runtime.planning import prepare
from pipelines.runtime.preparation import Preparation
from pipelines.settings import InpaintSettings
from pipelines.video.clock.timeline import constant
from pipelines.video.info import VideoInfo

Plan = Callable[..., Preparation]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    """The preparation of a job over 3,000 frames of 1080p on a machine with a card of 48 GiB."""
    clip = VideoInfo(tmp_path / "clip.mp4", "mp4", "h264", 1920, 1080, constant(3000, 25))
    clip.path.write_bytes(b"not looked at")
    host, card = Host(64 * GIB, 60 * GIB, 64 * GIB), Device("cuda", 0, "Card", "GPU-a", 48 * GIB, 48 * GIB)
    monkeypatch.setattr("pipelines.video.probe.probe", lambda path, *, salvage: clip)
    monkeypatch.setattr(planning, "probe_hardware", lambda: Hardware(host, (card,)))

    def make(kept: Any = None, **asked: Any) -> Preparation:
        settings = InpaintSettings(engine="propainter", **asked)
        return prepare("inpaint", (clip.path,), settings, tmp_path, kept=kept)

    return make


@pytest.mark.parametrize("limit_gb", [4, 6, 8, 12])
@pytest.mark.parametrize("quality", ["draft", "balanced", "high", "ultimate"])
def test_a_limit_of_the_cards_memory_is_planned_for(planned, limit_gb, quality):
    found = planned(vram_limit_gb=limit_gb, quality=quality)
    assert found.plan.risk != "cannot"
    assert 0 < found.plan.predicted_device_bytes <= within_limit(limit_gb * GIB)
    assert found.device == "cuda:0"


def test_a_preset_behaves_as_such_a_card(planned):
    values = planned(preset="4gb", quality="ultimate").choice.values
    assert values["most_pixels"] == 921_600
    assert values["work_width"] * values["work_height"] <= 921_600
    assert planned(quality="ultimate").choice.values["work_width"] == 1920


def test_without_a_card_the_host_holds_it_all(planned):
    found = planned(device="cpu")
    assert (found.device, found.plan.predicted_device_bytes) == ("cpu", 0)
    assert found.choice.values["work_width"] == 640
    assert planned(preset="none").device == "cpu"


def test_a_resumed_job_is_planned_as_before_whatever_is_free_now(planned):
    first = planned(vram_limit_gb=4, quality="ultimate")
    again = planned(kept=first.decision, quality="ultimate")
    assert again.choice.values == first.choice.values
    assert again.plan.batch_frames == first.plan.batch_frames


def test_what_was_asked_for_and_does_not_fit_is_refused_with_a_number(planned):
    found = planned(vram_limit_gb=2, reference_output=True)
    assert found.plan.risk == "cannot"
    assert "GiB of device memory" in found.plan.reason
