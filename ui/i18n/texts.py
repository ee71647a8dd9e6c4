"""Texts of the page in the language of the visitor.

Static texts, which the page has from the start, are translated by Gradio (`I18N`). Live texts, which answer a request,
are written in the language that its browser asks for; those that are made before there is a request are written in all
languages side by side, and the style sheet shows one.
"""

import json
import re
from collections.abc import Callable, Iterable
from html import escape

import gradio as gr

from pipelines.spec import BUILT_IN, TaskSpec, all_engines, tasks
from pipelines.storage.names import brief, printable
from ui.i18n.catalogue import CATALOGUES, ENGLISH, Catalogue, current
from ui.i18n.words import FIELDS_ZH, STATIC

_OPTION = re.compile(r"--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?![\w-])")
"""An option of the command line in a message."""
_QUOTED_OPTION = re.compile(r"`(--[^`]+)`")
"""An option with its value in backquotes, which the page does without."""


def label_en(field: str, unit: str) -> str:
    """A setting's name as a label: `ram_limit_gb`, GiB -> `RAM limit (GiB)`."""
    words = field.removesuffix("_gb").removeprefix("flag_").split("_")
    named = [w.upper() if w in ("ram", "vram") else w for w in words]
    text = " ".join(named)
    return text[0].upper() + text[1:] + (f" ({unit})" if unit else "")


def field_key(field: str, part: str) -> str:
    """The key of a setting's `label` or `info`."""
    return f"longtake_{part}_{field}"


def choice_keys(field: str, choices: Iterable[str]) -> dict[str, str]:
    """The keys of those choices of a setting that have a name of their own; others are shown as they are written."""
    return {
        choice: next(key for key in keys if key in STATIC)
        for choice in choices
        for keys in [(f"longtake_choice_{field}_{choice}", f"longtake_choice_{choice}")]
        if any(key in STATIC for key in keys)
    }


def choice_name(field: str, choice: str) -> str:
    """What a setting is set to, as HTML: the name of the choice, or the choice as it is written; escapes."""
    keys = choice_keys(field, [choice])
    return spans_of(lambda catalogue: catalogue.text("static", keys[choice]) if keys else choice)


def engine_name(name: str) -> str:
    """An engine's title as HTML: people know networks by their titles, and the others as built-in; escapes."""
    title = next((each.title for each in all_engines() if each.name == name), name)
    return both("engine.builtin") if title == BUILT_IN else escape(title)


def input_key(task: str, name: str) -> str:
    """The key of the label of one of a task's files."""
    return f"longtake_input_{task}_{name}"


def task_texts() -> dict[str, tuple[str, str]]:
    """The texts of the tasks' tabs: titles, labels of the files, and the button that runs."""
    found: dict[str, tuple[str, str]] = {}
    for task in tasks().values():
        found |= {f"longtake_{task.name}": task.title, f"longtake_run_{task.name}": STATIC["longtake_run"]}
        found |= {input_key(task.name, each.name): each.label for each in task.inputs}
    return found


def both(key: str) -> str:
    """The live text `key` as HTML in the visitor's language, or in each where several visitors get it."""
    return spans_of(lambda catalogue: catalogue.text("live", key))


def static(key: str) -> str:
    """The static text `key` in the same way, for what Gradio does not translate."""
    return spans_of(lambda catalogue: catalogue.text("static", key))


def task_title(task: TaskSpec) -> str:
    """The title of a task in the same way."""
    return spans_of(lambda catalogue: of_task(catalogue, f"longtake_{task.name}", task.title))


def of_task(catalogue: Catalogue, key: str, pair: tuple[str, str]) -> str:
    """A text of `task_texts` in the language of `catalogue`, which may have it under its key or by the English text."""
    return catalogue.tables.get("static", {}).get(key) or in_language(pair, catalogue)


def spans(english: str, chinese: str) -> str:
    """A text that is no catalogue's as HTML, in the same way; escapes."""
    return spans_of(lambda catalogue: _of_pair(catalogue, english, chinese))


def filled(key: str, **values: str) -> str:
    """The live text `key` with values in it, as HTML in the same way; escapes."""
    return spans_of(lambda catalogue: catalogue.text("live", key).format(**values))


def spans_of(text: Callable[[Catalogue], str]) -> str:
    """What `text` returns, as HTML in the visitor's language, or in each where several visitors get it; escapes."""
    if only := current():
        return escape(text(only))
    return "".join(
        f'<span lang="{each.language}">{escape(text(each))}</span>' for each in CATALOGUES.values()
    )


def label(key: str) -> str:
    """The live text `key` for an attribute: in the visitor's language, in English where several visitors get it."""
    return attribute_of(lambda catalogue: catalogue.text("live", key))


def attribute(english: str, chinese: str) -> str:
    """A text that is no catalogue's for an attribute, in the same way; escapes."""
    return attribute_of(lambda catalogue: _of_pair(catalogue, english, chinese))


def attribute_of(text: Callable[[Catalogue], str]) -> str:
    """What `text` returns for an attribute: in the visitor's language, in English where several visitors get it."""
    return escape(text(current() or CATALOGUES[ENGLISH]), quote=True)


def script_text(text: Callable[[Catalogue], str]) -> str:
    """A JavaScript expression with what `text` returns in the language of the page; for attributes of templates."""
    words = {each.language: escape(text(each), quote=True) for each in CATALOGUES.values()}
    table = json.dumps(words, ensure_ascii=False).replace("`", "").replace("${", "$ {")
    return f"(({table})[document.documentElement.lang.split('-')[0]] || {json.dumps(words[ENGLISH])})"


def in_each(text: Callable[[Catalogue], str]) -> str:
    """What `text` returns in each language, as the attribute by which the script of the page says one of them.

    That becomes the element's label where it has one (`aria-label`), else its text.
    """
    words = {each.language: text(each) for each in CATALOGUES.values()}
    return f'data-words="{escape(json.dumps(words, ensure_ascii=False), quote=True)}"'


def named(key: str) -> str:
    """Attributes that name an element by the live text `key`; where several visitors get it, a script says theirs."""
    words = "" if current() else f" {in_each(lambda catalogue: catalogue.text('live', key))}"
    return f'aria-label="{label(key)}"{words}'


def template_label(key: str) -> str:
    """The live text `key` for an attribute of an HTML template, which the browser fills in."""
    return f"${{{script_label(key)}}}"


def plain(key: str, **values: str) -> str:
    """The live text `key` with values in it as plain text, for a toast: in the visitor's language."""
    return (current() or CATALOGUES[ENGLISH]).text("live", key).format(**values)


def script_label(key: str) -> str:
    """The live text `key` in the same way."""
    return script_text(lambda catalogue: catalogue.text("live", key))


def in_language(pair: tuple[str, str], catalogue: Catalogue) -> str:
    """A text of a task, an engine or a plug-in in the language of `catalogue`."""
    return _of_pair(catalogue, *pair)


def _of_pair(catalogue: Catalogue, english: str, chinese: str) -> str:
    """A text of a task, an engine or a plug-in, which come in English and Chinese; others are found by the English."""
    if catalogue.language == "zh":
        return chinese
    return catalogue.tables.get("others", {}).get(english, english)


def page_words(message: str) -> str:
    """A message as HTML in which options of the command line have the names of the page's fields; escapes.

    `--source-box` becomes the label of that field; options that the page lacks stay as they are.
    """
    return spans_of(lambda catalogue: plain_words(brief(printable(message)), catalogue))


def plain_words(message: str, catalogue: Catalogue | None = None) -> str:
    """The same as plain text, with the labels in the language of `catalogue`; by default in English."""
    named = catalogue or CATALOGUES[ENGLISH]
    return _OPTION.sub(
        lambda option: _field(named, option[1]) or option[0], _QUOTED_OPTION.sub(r"\1", message)
    ).replace("`", "")


def _field(catalogue: Catalogue, option: str) -> str | None:
    """The label of an option's field in quotes; None where the page has no such field."""
    name = option.replace("-", "_")
    for field in (name, f"flag_{name}"):
        if field in FIELDS_ZH:
            return f"“{label_in(catalogue, field)}”"
    return None


def label_in(catalogue: Catalogue, field: str) -> str:
    """The label of a setting in a language, without its unit."""
    return catalogue.find("field_labels", field) or label_en(field, "")


def i18n(fields: dict[str, tuple[str, str]]) -> gr.I18n:
    """The static texts for Gradio; `fields` adds label and sentence of each setting, in English.

    Titles and inputs of tasks are those of their specs. A plug-in's settings are in English in all languages.
    """
    found = {
        locale: _static_texts(catalogue, fields)
        for catalogue in CATALOGUES.values()
        for locale in catalogue.locales
    }
    return gr.I18n(**found)


def _static_texts(catalogue: Catalogue, fields: dict[str, tuple[str, str]]) -> dict[str, str]:
    texts = {key: of_task(catalogue, key, pair) for key, pair in task_texts().items()}
    texts |= {key: catalogue.text("static", key) for key in STATIC}
    for name, english in fields.items():
        label, sentence = setting_texts(name, english, catalogue)
        texts |= {field_key(name, "label"): label, field_key(name, "info"): sentence}
    return texts


def setting_texts(name: str, english: tuple[str, str], catalogue: Catalogue) -> tuple[str, str]:
    """Label and sentence of a setting in the language of `catalogue`; `english` are those made from its model."""
    title, sentence = english
    labels, sentences = (catalogue.tables.get(table, {}) for table in ("field_labels", "field_sentences"))
    unit = title.partition(" (")[2].removesuffix(")")
    unit = f" ({catalogue.tables.get('units', {}).get(unit, unit)})" if unit else ""
    return f"{labels[name]}{unit}" if name in labels else title, sentences.get(name, sentence)


def language_style() -> str:
    """A style sheet that shows, of texts in all languages side by side, the one of the page's language."""
    others = [language for language in CATALOGUES if language != ENGLISH]
    rules = [f'html:not(:lang({each})) [lang="{each}"]' for each in others]
    spoken = ", ".join(f":lang({each})" for each in others)
    return (
        f"<style>{', '.join([*rules, f'html:is({spoken}) [lang={ENGLISH}]'])} {{ display: none; }}</style>\n"
    )
