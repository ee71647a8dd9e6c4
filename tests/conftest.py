"""What all tests share: where the shared data lies, if it is there."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real clips and goldens, beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"the shared clips and goldens are not at {SHARED}")
    return SHARED
