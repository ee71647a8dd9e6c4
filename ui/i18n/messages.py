"""What errors and warnings say to visitors: the sentence of their key in a catalogue, filled with their values.

The command line has sentences of its own, with its options; programs that use the API get those, with the code.
"""

from collections.abc import Mapping

from pipelines.errors import LongtakeError, Value
from pipelines.jobs.events import Degraded, Facts, Failed, Warned
from pipelines.storage.names import brief, printable, shortened
from ui.i18n.catalogue import ENGLISH, Catalogue, current
from ui.i18n.texts import label_in, page_words, plain_words, spans_of
from ui.i18n.units import clock, size

_ANY_DAMAGE = "damage.some"
"""The part of a sentence for damage of which no more is known, as in events of earlier versions."""


def error_text(error: LongtakeError) -> str:
    """Return an error in one line of plain text: for a visitor of the page in their language, else with its code."""
    if catalogue := current():
        return said(catalogue, error)
    return f"{plain_words(brief(printable(str(error))))} [{error.code}]"


def said(catalogue: Catalogue, error: LongtakeError) -> str:
    """Return what happened and what to do, in the language of `catalogue`."""
    return sentence(catalogue, "errors", (error.key, error.code), error.values, str(error))


def sentence(
    catalogue: Catalogue, table: str, keys: tuple[str, ...], values: Mapping[str, Value], otherwise: str
) -> str:
    """Return the sentence of the first of `keys` that there is in `table`, filled with `values`.

    A plug-in's sentence, which has no key, is told as it is to those who read English; the sentence of its code stands
    for it in other languages, where there is one.
    """
    own, *general = keys
    found = catalogue.find(table, own) if own else None
    if found is None and otherwise and (catalogue.language == ENGLISH or not general):
        return plain_words(brief(printable(otherwise)))
    if found is None:
        found = next((text for key in general if (text := catalogue.find(table, key))), None)
    if found is None:
        return plain_words(brief(printable(otherwise)))
    try:
        return _filled(catalogue, found, values)
    except (KeyError, IndexError, ValueError):  # an event of another version, with other values
        return plain_words(brief(printable(otherwise)))


def _filled(catalogue: Catalogue, text: str, values: Mapping[str, Value]) -> str:
    """Return `text` with `values` in it; those that end in `_key` stand for a part of a sentence, with values too.

    Raises KeyError, IndexError or ValueError where they do not fit.
    """
    given = {"damage_key": _ANY_DAMAGE, **values}
    written = {name: _written(catalogue, name, value) for name, value in values.items()}
    parts = {name: key for name, key in given.items() if name.endswith("_key") and f"{{{name}}}" in text}
    written |= {name: catalogue.text("parts", str(key)).format(**written) for name, key in parts.items()}
    return text.format(**written)


def damage_in(catalogue: Catalogue, facts: Facts) -> str:
    """Return what is damaged in a video, as a sentence in the language of `catalogue`."""
    values = {"damage_key": _ANY_DAMAGE, **facts.damage_values, "missing": facts.missing_frames}
    if facts.damage_key:
        values["damage_key"] = facts.damage_key
    key = "damage.counted" if facts.missing_frames else "damage.told"
    told = sentence(catalogue, "live", (key,), values, facts.damage or "")
    return told[:1].upper() + told[1:]


def html_of(table: str, keys: tuple[str, ...], values: Mapping[str, Value], otherwise: str) -> str:
    """Return the same as HTML in the visitor's language, or in each where several get it."""
    return spans_of(lambda catalogue: sentence(catalogue, table, keys, values, otherwise))


def _written(catalogue: Catalogue, name: str, value: Value) -> str:
    if name == "field":
        return label_in(catalogue, str(value))
    if name.endswith("_bytes"):
        return size(float(value))
    if name.endswith("_seconds"):
        return clock(float(value))
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else shortened(brief(printable(value)))


def error_html(error: LongtakeError) -> str:
    """Return an error as HTML in the same way."""
    return html_of("errors", (error.key, error.code), error.values, str(error))


def failure_html(failed: Failed, message: str) -> str:
    """Return why a job failed as HTML; `message` is that of the command line, without folders."""
    return html_of("errors", (failed.key, failed.code), failed.values, message)


def warning_html(told: Warned | Degraded | None, message: str) -> str:
    """Return a warning of a job as HTML; `message` is that of the command line, without folders, and alone does."""
    if told is None:
        return page_words(message)
    if isinstance(told, Degraded):
        key = "retry" if told.rung == "retry" else f"degraded_{told.change}"
        return html_of("warnings", (key,), {"frame": told.frame}, message)
    return html_of("warnings", (told.key, told.code), told.values, message)
