"""Kill, or fail, at every call that changes a file: `python -m tests.faults.campaign --out DIR` tries them all.

After a kill the same command gives the same bytes, and nothing is left over. After a failed call the command ends with
the error's name and exit status, no file under a final name is cut off, and the same command gives the same bytes.
"""

import argparse
import errno
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.faults.harness import (
    FAIL,
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

STATUSES = {errno.ENOSPC: {0, 3}, errno.EIO: {0, 3}, errno.EMFILE: {0, 3}, errno.EACCES: {0, 2}}
"""How a run may end at which a call fails so: well, where what failed can be done without or is tried again."""
KILLS = {KILL_ALL: "everything", KILL: "the calling process", KILL_PARENT: "the command"}
"""Who is killed: all at once, whoever makes the call (a worker, an encoder or the command), or the command alone."""
SOME_FAILED = 5
PICTURES = (".jpg", ".png")
"""What a job can do without: its report's pictures."""
TOLD = 100
"""After so many tries it is said how they went."""
SAMPLE = 0.618034
"""The golden ratio spreads any number of samples evenly."""


class Trial:
    """One task: its uninterrupted result, and the number of calls that it makes."""

    def __init__(self, prepared: Prepared, task: Task) -> None:
        self._prepared, self._task = prepared, task
        whole = prepared.run(command(task, cleared(prepared.area)))
        assert whole.status == 0, (task.name, whole.status, whole.stderr)
        self.calls, self.expected = whole.calls, results(prepared.area)
        assert not leftovers(prepared.area), leftovers(prepared.area)

    def kill(self, number: int, mode: int = KILL_ALL) -> str | None:
        """Kill processes before call `number`: all, the one that calls, or the command; return what is wrong then."""
        area = cleared(self._prepared.area)
        killed = self._prepared.run(command(self._task, area), mode=mode, at=number)
        said = f"{self._said(number, killed.what)}: {KILLS[mode]} killed"
        if killed.status is None:
            return f"{said}: does not end"
        if mode != KILL and killed.what and killed.status != -9:
            return f"{said}: ended with {killed.status}"
        return self._resumed(said)

    def fail(self, number: int, error: int) -> str | None:
        """Let call `number` fail with `error`; return what is wrong then."""
        area = cleared(self._prepared.area)
        failed = self._prepared.run(command(self._task, area), mode=FAIL, at=number, error=error)
        said = f"{self._said(number, failed.what)} {errno.errorcode[error]}"
        allowed = STATUSES[error] | ({SOME_FAILED} if self._task.name == "folder" else set())
        if failed.status not in allowed:
            return f"{said}: exit status {failed.status}: {failed.stderr[-300:]}"
        if "Traceback" in failed.stderr or "bug in Longtake" in failed.stderr:
            return f"{said}: {failed.stderr[-300:]}"
        if failed.status and not failed.stderr.strip():
            return f"{said}: nothing was said"
        for name, digest in results(area).items():
            # The table of a folder has the error of a file that failed.
            is_final = "part-" not in name and name in self.expected and failed.status != SOME_FAILED
            if is_final and digest != self.expected[name]:
                return f"{said}: {name} is cut off"
        return self._resumed(said, done=failed.status == 0)

    def _resumed(self, said: str, *, done: bool = False) -> str | None:
        """Run the same command again; `done`: it may have ended well, without a picture that it can do without."""
        area = self._prepared.area
        again = self._prepared.run(command(self._task, area))
        if again.status != 0:
            return f"{said}: resumed to {again.status}: {again.stderr[-300:]}"
        found = results(area)
        if done:
            pictures = {name: self.expected[name] for name in self.expected if Path(name).suffix in PICTURES}
            found = {**pictures, **found}
        if found != self.expected:
            names = sorted(
                name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name)
            )
            return f"{said}: other bytes: {', '.join(names[:4])}"
        if left := leftovers(area):
            return f"{said}: left over: {', '.join(left[:4])}"
        return None

    def _said(self, number: int, what: str) -> str:
        return f"{self._task.name} {number}: {what}"


def sample(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 1 to `count`, spread evenly."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({1 + int((each * SAMPLE % 1) * count) for each in range(most)})


def killed(trial: Trial, numbers: Iterable[int]) -> Iterator[tuple[str, str | None]]:
    """Yield each kill and what was wrong then."""
    for number in numbers:
        for mode, who in KILLS.items():
            yield f"kill {who} at {number}", trial.kill(number, mode)


def failed(trial: Trial, numbers: Iterable[int]) -> Iterator[tuple[str, str | None]]:
    """Yield each failed call and what was wrong then."""
    for number in numbers:
        for error in STATUSES:
            yield f"fail {number} {errno.errorcode[error]}", trial.fail(number, error)


def main() -> int:
    """Try all calls of all tasks (or of those named); print what is wrong, and how many were right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--most", type=int, default=10**9, help="calls of each task that are tried")
    parser.add_argument("--only", choices=["kill", "fail"])
    given = parser.parse_args()
    out = (given.out or Path(tempfile.mkdtemp(prefix="faults-"))).absolute()
    tasks = draw(out / "inputs")
    wrong = 0
    with Prepared() as prepared:
        for name in given.tasks or tasks:
            trial = Trial(prepared, tasks[name])
            numbers = sample(trial.calls, given.most)
            for kind, campaign in (("kill", killed), ("fail", failed)):
                if given.only not in (None, kind):
                    continue
                right = tried = 0
                for _, found in campaign(trial, numbers):
                    tried += 1
                    right += found is None
                    if found:
                        print(f"WRONG {found}", flush=True)
                    if tried % TOLD == 0:
                        print(f"{name}: {kind}: {right} of {tried} right so far", flush=True)
                print(f"{name}: {kind}: {right} of {tried} right ({trial.calls} calls)", flush=True)
                wrong += tried - right
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
