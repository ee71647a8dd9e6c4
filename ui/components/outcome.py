"""What a job has to show: its result with a player and downloads, its report, its charts, and what it was asked."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.errors import BadInput
from pipelines.jobs.events import Outputs
from pipelines.jobs.job import Job
from pipelines.spec import settings_model
from ui.components import forms
from ui.i18n.catalogue import Catalogue
from ui.i18n.texts import both, choice_name, engine_name, label_in, spans_of
from ui.jobs import again, downloads, dropped
from ui.jobs.service import JobService
from ui.jobs.uploads import hand_out
from ui.jobs.view import JobView
from ui.render import film, marks, media
from ui.render.job import links, newest_notes, notes
from ui.reports.view import charts, frame_times, read_report, shows_something

_HIDDEN = {"box", "point", "track", "ram_limit_gb", "vram_limit_gb", "preset", "device"}
"""Settings that are shown as marks, or that are the machine's and not the question's."""


_MAPPED = {"inpaint"}
"""Tasks whose picture is a map of what was generated."""


class Outcome:
    """Makes the HTML of jobs; `cache` returns the page's cache, into which files are linked."""

    VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv")
    PICTURE_SUFFIXES = (".png", ".jpg")

    def __init__(self, service: JobService, cache: Callable[[], Path]) -> None:
        self._service = service
        self._cache = cache

    def of(self, view: JobView) -> tuple[str, str, str]:
        """The result, the report with the files, and the charts of a finished job. Raises OSError where one is gone."""
        outputs, job = view.outputs or Outputs(), self._job(view)
        paths = [path for path in outputs.paths() if path.exists()]
        named = {path: self._link(view, path, name) for path, name in self._names(view, paths).items()}
        # The page draws the chart of a removal itself; its picture, with both, stands for a map that is not there.
        heat_map = outputs.further("heat_map")
        first = heat_map if heat_map in named else outputs.picture
        more = [path for path in outputs.pictures if path in named and path != outputs.picture]
        report = notes(view)
        if outputs.report:
            report += read_report(outputs.report, view.notes, newest_notes(view))
        is_drawn = outputs.result is None
        shown = charts(outputs.report) if is_drawn and outputs.report else ""
        if shown:  # drawn in the visitor's language
            first = None
        pictures = [first, *more] if first in named else more
        if pictures and (outputs.report is None or shows_something(outputs.report)):
            times = frame_times(outputs.report) if outputs.report else {}
            words = "report.map" if view.status.task in _MAPPED and not is_drawn else "chart"
            shown += media.pictures(
                [named[path] for path in pictures if path], times, is_drawn=is_drawn, words=words
            )
        kept = [named[path] for path in paths if path not in more and path != outputs.memory]
        record = (downloads.record_name(job.record()), dropped.taken(job)) if view.is_mine else None
        listed = film.files(kept, downloads.address(job, view.files), record)
        if outputs.result is None:  # its charts are the result
            return self.stage(view), report + shown + listed, ""
        return self.stage(view), report + listed, shown

    def stage(self, view: JobView, *, shows_wipe: bool = False) -> str:
        """The result, large, and the button that downloads it. Raises OSError where it is gone."""
        outputs = view.outputs or Outputs()
        main = outputs.result or outputs.scores or outputs.report
        if main is None:
            return ""
        named = self._link(view, main, self._names(view, [main])[main])
        shown = ""
        if main.suffix in self.VIDEO_SUFFIXES:
            shown = film.player(self._film(view, named, shows_wipe=shows_wipe))
        elif outputs.result and main.suffix in self.PICTURE_SUFFIXES:
            shown = film.picture(named)
        return shown + film.take(named, links(view.status))

    def _film(self, view: JobView, named: str, *, shows_wipe: bool) -> film.Film:
        job, viewing = self._job(view), self._service.viewing
        made, compared = viewing.find(job), viewing.find_compared(job)
        facts = view.planned.facts if view.planned else None
        rate = facts.frame_rate if facts else ""
        wipe = None
        if compared:
            across, down = (shown / room for shown, room in zip(compared.shown, compared.room, strict=True))
            wipe = film.Wipe(hand_out(compared.path, self._cache(), view.files, "compared.mp4"), across, down)
        return film.Film(
            hand_out(made, self._cache(), view.files, "viewing.mp4") if made else named,
            rate,
            compared.source_frame if compared else _first_frame(job, rate),
            bool(facts and facts.variable_frame_rate),
            made is not None,
            wipe,
            shows_wipe or (wipe is not None and made is not None),
        )

    # -- what was asked ---------------------------------------------------------------------------------------

    def frame(self, view: JobView) -> int:
        """The frame of the input that shows what was asked."""
        job = self._job(view)
        return again.shown_frame(
            job.record(), again.read_marks(job), view.planned.facts if view.planned else None
        )

    def question(self, view: JobView, thumbnail: str) -> str:
        """The job's files, marks and settings; `thumbnail` is a picture of `frame` in the page's cache, or empty."""
        job = self._job(view)
        record, painted = job.record(), again.read_marks(job)
        boxes, points = (list(map(str, record.asked.get(name, ()))) for name in ("box", "point"))
        drawn = ""
        if thumbnail:
            size = _size(view, thumbnail)
            drawn = marks.drawing(size, self.frame(view), boxes, points, painted.strokes)
        inputs = record.inputs[:1] if painted.strokes else record.inputs
        counts = marks.counted(boxes, points, painted.frames)
        said = {both(key): f"{number:,}" for key, number in counts}
        return film.question(
            thumbnail,
            drawn,
            [known.path.name for known in inputs],
            {**said, **_settings(record.task, record.asked)},
        )

    # -- files ------------------------------------------------------------------------------------------------

    def _names(self, view: JobView, paths: list[Path]) -> dict[Path, str]:
        outputs = view.outputs or Outputs()
        return downloads.names(self._job(view).record(), paths, outputs.result)

    def _link(self, view: JobView, path: Path, name: str) -> str:
        return hand_out(path, self._cache(), view.files, name)

    @staticmethod
    def _job(view: JobView) -> Job:
        assert view.job, "the view of a job knows it"
        return view.job


def _size(view: JobView, thumbnail: str) -> tuple[int, int]:
    """The size of the input: from its plan; before that, that of its picture, which large ones are scaled to."""
    if view.planned:
        return view.planned.facts.width, view.planned.facts.height
    with Image.open(thumbnail) as picture:
        return picture.size


def _first_frame(job: Job, rate: str) -> int:
    start = job.record().asked.get("start")
    return round(start * Fraction(rate)) if rate and isinstance(start, int | float) else 0


def _settings(task: str, asked: dict[str, Any]) -> dict[str, str]:
    """The settings of a job that are not the defaults, and its quality: label -> value, both as HTML."""
    try:
        model = settings_model(task)
    except BadInput:
        return {}
    rows = {}
    for name in forms.field_names(model):
        value = asked.get(name)
        if (
            name in _HIDDEN
            or name not in asked
            or (name != "quality" and value == model.model_fields[name].default)
        ):
            continue
        named, unit = spans_of(partial(label_in, field=name)), forms.unit(model, name)
        rows[named] = f"{_value(name, value)} {spans_of(partial(_unit, unit)) if unit else ''}".rstrip()
    return rows


def _unit(unit: str, catalogue: Catalogue) -> str:
    return catalogue.tables.get("units", {}).get(unit, unit)


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return both("yes" if value else "no")
    if isinstance(value, list | tuple):
        return escape(" ".join(map(str, value)))
    if name == "engine" and value != "auto":
        return engine_name(str(value))
    return choice_name(name, f"{value:g}" if isinstance(value, float) else str(value))
