"""The process that forks for each fault."""

from collections.abc import Iterator

import pytest

from tests.faults.harness import Prepared, has_compiler


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    """One that has imported what commands need; skips where there is no C compiler."""
    if not has_compiler():
        pytest.skip("there is no C compiler")
    with Prepared() as process:
        yield process
