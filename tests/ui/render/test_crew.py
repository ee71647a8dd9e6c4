"""A line for each worker of a job, in the language of the visitor."""

import re

import pytest

from pipelines.jobs import events
from pipelines.jobs.events import LostMember, Member
from pipelines.workers.children import describe_exit
from ui.i18n.catalogue import speaking
from ui.jobs.view import JobView
from ui.render.crew import workers

MEMBERS = (
    Member(worker=1, state="busy", device="cuda:0", stage="fill", start=0, stop=1240),
    Member(worker=3, state="busy", stage="fill", start=1240, stop=2480, attempt=2),
    Member(worker=4, state="starting"),
    Member(worker=5, state="idle"),
)
LOST = LostMember.of(2, describe_exit(-9, []))


def lines(language: str, *lost: LostMember) -> list[str]:
    """What is shown, as text."""
    crew = events.Crewed(job="j", wanted=5, members=MEMBERS, lost=lost)
    view = JobView().after(events.Started(job="j", worker_pid=1)).after(crew)
    with speaking(language):
        return [part for part in re.split("<.*?>", workers(view)) if part]


def test_each_worker_has_a_line() -> None:
    assert lines("en", LOST) == [
        "4 of 5 workers",
        "Worker 1 · cuda:0 · filling · frames 0 to 1,239",
        "Worker 2 was lost (killed by signal 9: the system may have run out of memory). "
        "What it had not finished is computed again.",
        "Worker 3 · CPU · filling · frames 1,240 to 2,479 · attempt 2",
        "Worker 4 · CPU · starting",
        "Worker 5 · CPU · idle",
    ]
    assert lines("zh", LOST) == [
        "4 / 5 个工作进程",
        "工作进程 1 · cuda:0 · 填补 · 第 0–1,239 帧",
        "工作进程 2 意外终止（被信号 9 终止：系统可能内存不足）。它未完成的部分将重新计算。",
        "工作进程 3 · CPU · 填补 · 第 1,240–2,479 帧 · 第 2 次尝试",
        "工作进程 4 · CPU · 正在启动",
        "工作进程 5 · CPU · 空闲",
    ]


@pytest.mark.parametrize(
    ("code", "words", "shown"),
    [
        (-15, [], "(killed by signal 15)"),
        (1, [], "(exit status 1)"),
        (1, ["first", "<b>no driver</b>"], "(exit status 1: &lt;b&gt;no driver&lt;/b&gt;)"),
    ],
)
def test_last_words_are_told_as_text(code: int, words: list[str], shown: str) -> None:
    assert shown in "".join(lines("en", LostMember.of(2, describe_exit(code, words))))


def test_a_job_of_one_process_and_one_that_ended_have_no_lines() -> None:
    crew = events.Crewed(job="j", wanted=5, members=MEMBERS)
    running = JobView().after(events.Started(job="j", worker_pid=1))
    assert workers(running) == ""
    assert workers(running.after(crew).after(events.Paused(job="j"))) == ""
    assert workers(running.after(crew).after(crew.model_copy(update={"members": ()}))) == ""
