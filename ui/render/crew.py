"""The workers that compute a job together, a line for each, as HTML."""

from html import escape

from pipelines.jobs.events import LostMember, Member
from ui.i18n.catalogue import Catalogue
from ui.i18n.messages import sentence
from ui.i18n.texts import filled, spans_of
from ui.jobs.view import JobView
from ui.render.job import stage_name


def workers(view: JobView) -> str:
    """Return who is at work on what, and who was lost; empty where one process computes, and where the job ended."""
    crew = view.crew
    if crew is None or view.ended:
        return ""
    rows = {
        **{member.worker: _member(member) for member in crew.members},
        **{lost.worker: _lost(lost) for lost in crew.lost},
    }
    heading = filled("workers", count=str(len(crew.members)), wanted=str(crew.wanted))
    lines = "".join(f"<li>{rows[worker]}</li>" for worker in sorted(rows))
    return f'<section class="lt-card lt-crew"><h3>{heading}</h3><ul>{lines}</ul></section>'


def _member(member: Member) -> str:
    parts = [filled("crew.worker", number=str(member.worker)), escape(member.device.replace("cpu", "CPU"))]
    if member.state != "busy":
        return " · ".join((*parts, filled(f"crew.{member.state}")))
    if member.stage:
        frames = {"start": f"{member.start:,}", "stop": f"{member.stop - 1:,}"}
        parts += [stage_name(member.stage), filled("crew.frames", **frames)]
    if member.attempt > 1:
        parts.append(filled("crew.attempt", attempt=str(member.attempt)))
    return " · ".join(parts)


def _lost(lost: LostMember) -> str:
    def said(catalogue: Catalogue) -> str:
        how = sentence(catalogue, "warnings", (lost.key,), lost.values, lost.how)
        return catalogue.text("live", "crew.lost").format(number=lost.worker, how=how)

    return spans_of(said)
