"""Histories of one job, drawn at random: whatever happens to it, the same command ends with the same bytes.

What may happen: a run whose worker, encoder, command or all of them are killed, that is interrupted, cancelled, paused,
started a second time beside itself, refused a call or out of room on the disk at any moment; a byte flipped, a file cut
off, removed or dated otherwise anywhere in the job's folder; the folder removed; `resume`. Every run of the tests tries
the same few. More of them, drawn anew each time, and made as short as they can be where one goes wrong:
`LONGTAKE_HISTORIES=500 pytest -n0 tests/faults/test_histories.py`.
"""

import errno
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from pipelines.jobs.job import Job, Request
from tests.faults.campaign import Trial
from tests.faults.harness import (
    COUNT,
    FAIL,
    FULL,
    INTERRUPT,
    KILL,
    KILL_ALL,
    KILL_PARENT,
    Prepared,
    Task,
    cleared,
    command,
    leftovers,
    results,
)
from tests.faults.tasks import draw

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]
HISTORIES = os.environ.get("LONGTAKE_HISTORIES")

places = st.floats(0, 1, exclude_max=True)
"""Where in a run, in a list of files or in a file something happens, as a share."""
STATUSES = {0, 2, 3, 130, -9}
"""How a run may end that something happens to; 1 would be a fault of the program."""


@pytest.mark.parametrize("name", ["score", "track"])
def test_whatever_happens_the_same_command_ends_with_the_same_bytes(
    name: str, prepared: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> None:
    task = draw(tmp_path_factory.mktemp("inputs"))[name]
    trial = Trial(prepared, task)
    run_state_machine_as_test(
        lambda: History(prepared, task, trial),
        settings=settings(
            max_examples=int(HISTORIES or 6),
            stateful_step_count=8,
            derandomize=not HISTORIES,
            # To make a history shorter takes as long as a hundred of them.
            phases=set(Phase) if HISTORIES else {Phase.generate},
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


class History(RuleBasedStateMachine):
    """What happens to one job. The oracle is the result of a run that nothing happened to."""

    def __init__(self, prepared: Prepared, task: Task, trial: Trial) -> None:
        super().__init__()
        self._prepared, self._task, self._trial = prepared, task, trial
        self._area = cleared(prepared.area)

    @rule(place=places, mode=st.sampled_from([KILL, KILL_ALL, KILL_PARENT, INTERRUPT]))
    def killed(self, place: float, mode: int) -> None:
        """The command runs, and it, its worker, an encoder or all of them are killed, or it is interrupted."""
        self._run(mode, place)

    @rule(place=places, what=st.sampled_from(["cancel", "pause"]))
    def stopped(self, place: float, what: Request) -> None:
        """The command runs, and its job is cancelled or paused from elsewhere."""
        self._run(COUNT, place, then=lambda: [job.request(what) for job in Job.all(self._area / "jobs")])

    @rule(place=places)
    def doubled(self, place: float) -> None:
        """The command runs, and somebody starts it a second time beside it."""
        started: list[int] = []
        arguments = command(self._task, self._area)
        self._run(COUNT, place, then=lambda: started.append(self._prepared.start(arguments)), allowed={0})
        for number in started:
            second = self._prepared.wait(number)
            assert second.status == 0, second.stderr

    @rule(place=places)
    def filled(self, place: float) -> None:
        """The command runs, and from some moment on the disk is full."""
        self._run(FULL, place, errno.ENOSPC)

    @rule(place=places, error=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EACCES]))
    def refused(self, place: float, error: int) -> None:
        """The command runs, and one call fails."""
        self._run(FAIL, place, error)

    @rule()
    def resumed(self) -> None:
        """`resume` goes on with what it finds."""
        ended = self._prepared.run(["resume", "--jobs-dir", str(self._area / "jobs")])
        assert ended.status in (0, 5), ended.stderr

    @rule(file=places, at=places, flip=st.integers(1, 255))
    def flipped(self, file: float, at: float, flip: int) -> None:
        """A byte of a file changes."""
        path = self._file(file)
        if path and (data := bytearray(path.read_bytes())):
            data[int(at * len(data))] ^= flip
            path.write_bytes(data)

    @rule(file=places, share=places)
    def cut_off(self, file: float, share: float) -> None:
        """A file loses its end."""
        if path := self._file(file):
            os.truncate(path, int(share * path.stat().st_size))

    @rule(file=places)
    def removed(self, file: float) -> None:
        """A file is gone."""
        if path := self._file(file):
            path.unlink()

    @rule(file=places, time=st.sampled_from([0, 2**31, 2**33]))
    def dated(self, file: float, time: int) -> None:
        """The clock jumped: a file comes from the past, or from the future."""
        if path := self._file(file):
            os.utime(path, (time, time))

    @rule()
    def deleted(self) -> None:
        """Somebody removes the jobs."""
        shutil.rmtree(self._area / "jobs", ignore_errors=True)

    def teardown(self) -> None:
        """Run the command once more: nothing happens now."""
        ended = self._prepared.run(command(self._task, self._area))
        assert ended.status == 0, ended.stderr
        assert results(self._area) == self._trial.expected
        assert leftovers(self._area) == []

    def _run(
        self,
        mode: int,
        place: float,
        error: int = 0,
        *,
        then: Callable[[], object] | None = None,
        allowed: Collection[int | None] = STATUSES,
    ) -> None:
        at = 1 + int(place * self._trial.calls)
        arguments = command(self._task, self._area)
        ended = self._prepared.run(arguments, mode=mode, at=at, error=error, then=then)
        assert ended.status in allowed, (ended.status, ended.what, ended.stderr)
        assert "Traceback" not in ended.stderr, (ended.what, ended.stderr)

    def _file(self, place: float) -> Path | None:
        files = sorted(path for path in self._area.rglob("*") if path.is_file())
        return files[int(place * len(files))] if files else None
