"""The limit of memory that a job sets holds on the machine of each worker."""

from pathlib import Path
from typing import Any

from pipelines.jobs.job import Job
from pipelines.runtime.crew import Less
from pipelines.settings import ScoreSettings
from pipelines.workers.limits import MemberLimit


class Crew:
    """Hears what is told to its member."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.closed: list[bool] = []

    def tell(self, member: int, order: Any) -> None:
        self.told.append(order)

    def close(self, *, at_once: bool = False) -> None:
        self.closed.append(at_once)


def test_the_limit_of_the_job_holds_for_its_worker(tmp_path: Path) -> None:
    """The member of this test holds nothing, but this process alone has more: it is told to use less, then ended."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"not read")
    settings = ScoreSettings(engine="builtin", ram_limit_gb=0.001)
    job = Job.create(tmp_path / "jobs", "score", (clip,), settings, 1)
    crew: Any = Crew()
    with MemberLimit(crew, 1) as limit:
        assert limit.passed() is None, "there is no limit before a job is open"
        limit.watch(job)
        while not (failed := limit.passed()):
            pass
    assert failed.exit_code == 3
    assert crew.told in ([], [Less()]), "less is tried first, unless the limit was passed by then"
    assert crew.closed == [True]


def test_a_job_that_cannot_be_read_has_no_limit(tmp_path: Path) -> None:
    crew: Any = Crew()
    with MemberLimit(crew, 1) as limit:
        limit.watch(Job(tmp_path / "none"))
        assert limit.passed() is None
