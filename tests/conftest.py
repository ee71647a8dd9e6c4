"""What all tests share: where the shared data lies, if it is there, and a user who has no weights and no settings."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("every time the same", settings.get_profile("any machine"), derandomize=True)
# How long something takes on a busy machine is no fault, and a change is not to fail by another's luck: look for more
# with `pytest --hypothesis-profile="any machine"`.
settings.load_profile("every time the same")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for servers and browsers comes first: a long file at the end would run alone."""
    items.sort(key=lambda item: "ui" not in item.path.parts)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real clips and goldens, beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"the shared clips and goldens are not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of whoever runs the tests is read or written: their weights, their caches, what they have accepted."""
    folder = tmp_path_factory.mktemp("nobody")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LONGTAKE_WEIGHTS", raising=False)
        patch.setenv("LONGTAKE_CACHE", os.fspath(folder / "cache"))
        patch.setenv("LONGTAKE_CONFIG", os.fspath(folder / "config"))
        patch.setenv("HF_HUB_CACHE", os.fspath(folder / "hub"))
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", os.fspath(folder / "hub"))
        yield


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """What a test draws at random is the same in every run, whichever tests ran before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
