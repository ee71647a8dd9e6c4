"""What the view of a job sends to the browser."""

import gradio as gr

from pipelines.jobs import events
from ui.components.run_view import details
from ui.jobs.view import JobView


def test_the_lines_of_the_workers_are_sent_when_they_change_and_to_whom_has_none() -> None:
    busy = events.Member(worker=1, state="busy", stage="fill", start=0, stop=40)
    crew = events.Crewed(job="j", wanted=2, members=(busy,))
    before = JobView().after(events.Started(job="j", worker_pid=1))
    at_work = before.after(crew)
    assert details(before)[-1] == "", "what an earlier job had goes"
    assert "frames 0 to 39" in details(at_work, before)[-1]
    assert details(at_work.after(events.Heartbeat(job="j")), at_work)[-1] == gr.skip()
    assert "frames 0 to 39" in details(at_work)[-1]
    assert details(at_work.after(events.CancelledEvent(job="j")), at_work)[-1] == ""
