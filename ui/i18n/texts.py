"""Texts of the page, in English and Chinese.

Static texts, which the page has from the start, are translated by Gradio (`I18N`). Live texts, which appear while a job
runs, are written in both languages side by side (`both`), and the style sheet shows the one that the browser asks for;
so two people can watch one job in two languages.
"""

import re
from html import escape

import gradio as gr

from pipelines.errors import LongtakeError
from pipelines.spec import tasks
from pipelines.storage.names import brief, printable
from ui.i18n.words import ERRORS_ZH, FIELDS_ZH, LIVE, STATIC

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


def input_key(task: str, name: str) -> str:
    """The key of the label of one of a task's files."""
    return f"longtake_input_{task}_{name}"


def _task_texts() -> dict[str, tuple[str, str]]:
    """The texts of the tasks' tabs: titles, labels of the files, and the button that runs."""
    found: dict[str, tuple[str, str]] = {}
    for task in tasks().values():
        found |= {f"longtake_{task.name}": task.title, f"longtake_run_{task.name}": STATIC["longtake_run"]}
        found |= {input_key(task.name, each.name): each.label for each in task.inputs}
    return found


def both(key: str) -> str:
    """The live text `key` as HTML in both languages; the browser shows one."""
    english, chinese = LIVE[key]
    return spans(english, chinese)


def spans(english: str, chinese: str) -> str:
    """A text in two languages as HTML; escapes."""
    return f'<span lang="en">{escape(english)}</span><span lang="zh">{escape(chinese)}</span>'


def filled(key: str, **values: str) -> str:
    """The live text `key` with values in it, as HTML in both languages; escapes."""
    english, chinese = LIVE[key]
    return spans(english.format(**values), chinese.format(**values))


def plain(key: str, **values: str) -> str:
    """The live text `key` with values in it as plain text, for a toast, where only one text fits."""
    english, chinese = LIVE[key]
    return f"{english.format(**values)} / {chinese.format(**values)}"


def label(key: str) -> str:
    """The live text `key` for an attribute, where only one text fits: `Memory / 内存`."""
    return attribute(*LIVE[key])


def attribute(english: str, chinese: str) -> str:
    """A text in two languages for an attribute; escapes."""
    return escape(f"{english} / {chinese}", quote=True)


def error_text(error: LongtakeError) -> str:
    """An error in one line and both languages, with its code; plain text."""
    chinese = ERRORS_ZH.get(error.code, ERRORS_ZH["internal"])
    return f"{_plain(brief(printable(str(error))))} / {chinese} [{error.code}]"


def page_words(message: str) -> str:
    """A message as HTML in which options of the command line have the names of the page's fields; escapes.

    `--source-box` becomes the label of that field, in both languages; options that the page lacks stay as they are.
    """
    parts = _OPTION.split(_QUOTED_OPTION.sub(r"\1", brief(printable(message))))
    return "".join(
        spans(*field)
        if number % 2 and (field := _field(part))
        else escape(f"--{part}" if number % 2 else part)
        for number, part in enumerate(parts)
    )


def _plain(message: str) -> str:
    """The same as plain text, in English."""
    return _OPTION.sub(
        lambda option: (_field(option[1]) or (option[0],))[0], _QUOTED_OPTION.sub(r"\1", message)
    )


def _field(option: str) -> tuple[str, str] | None:
    """The label of an option's field, in quotes and both languages; None where the page has no such field."""
    name = option.replace("-", "_")
    for field in (name, f"flag_{name}"):
        if field in FIELDS_ZH:
            return f"“{label_en(field, '')}”", f"“{FIELDS_ZH[field][0]}”"
    return None


def i18n(fields: dict[str, tuple[str, str]]) -> gr.I18n:
    """The static texts for Gradio; `fields` adds label and sentence of each setting, in English.

    Titles and inputs of tasks are those of their specs. A plug-in's settings are in English in both languages.
    """
    static = {**_task_texts(), **STATIC}
    english = {key: text for key, (text, _) in static.items()}
    chinese = {key: text for key, (_, text) in static.items()}
    for name, (title, sentence) in fields.items():
        title_zh, sentence_zh = FIELDS_ZH.get(name, (title.partition(" (")[0], sentence))
        unit = title[title.find(" (") :] if " (" in title else ""
        english |= {field_key(name, "label"): title, field_key(name, "info"): sentence}
        chinese |= {field_key(name, "label"): title_zh + unit, field_key(name, "info"): sentence_zh}
    return gr.I18n(en=english, **{"zh-CN": chinese, "zh": chinese})
