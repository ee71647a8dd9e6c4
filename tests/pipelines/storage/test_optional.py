"""What a job can do without is told, and does not end it; a lack of memory does."""

import errno

import pytest

from pipelines.errors import DamagedVideo
from pipelines.storage.optional import optional


@pytest.mark.parametrize(
    ("error", "is_logged"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (DamagedVideo("Frame 7 is damaged."), False),
        (ValueError("a fault"), True),
    ],
)
def test_what_fails_is_told_and_only_faults_are_logged(
    error: Exception, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[str, str]] = []
    with optional("chart", lambda *words: told.append(words)):
        raise error
    ((code, words),) = told
    assert code == "no_picture" and words.startswith("The chart could not be made (")
    assert bool(caplog.records) == is_logged


def test_a_lack_of_memory_is_raised() -> None:
    with pytest.raises(MemoryError), optional("chart", lambda *words: None):
        raise MemoryError
