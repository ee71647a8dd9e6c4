"""The process that forks for each fault."""

from collections.abc import Iterator

import pytest

from tests.faults.harness import Prepared, compiled


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """One that has imported what commands need; skips where there is no C compiler."""
    folder = tmp_path_factory.mktemp("faults")
    try:
        compiled(folder)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with Prepared(folder) as process:
        yield process
