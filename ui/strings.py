"""Print every text of the page, with errors and warnings, in each language.

`python -m ui.strings > docs/strings.md` writes the list in the documentation.
"""

import sys
from collections.abc import Iterator

from pipelines.example.faults import FAULTS
from pipelines.spec import all_engines, tasks
from ui.i18n.catalogue import CATALOGUES
from ui.i18n.texts import field_key, of_task, task_texts
from ui.page import I18N

_TABLES = {
    "static": "Titles, labels, buttons and choices",
    "live": "What is said while the page is used",
    "errors": "Errors",
    "log": "The log of a job",
    "gradio": "Names of Gradio's controls",
    "refusals": "Requests that are refused",
    "warnings": "Warnings of jobs",
    "findings": "Diagnostics",
    "parts": "Parts of sentences, where others have a name that ends in `_key`",
}
_HEAD = """# The page's words

[README](../README.md) · [中文](../README.zh.md) · [The page](page.md)

Every text of the page, as a visitor reads it; `{name}` stands for a value. Made by
`python -m ui.strings > docs/strings.md` from the catalogues in `ui/i18n/catalogues/`, one file a language: a new
language is one new file there. It may have texts of tasks and of the example, which are the program's own, in a table
`others`, by their English.
"""


def document() -> str:
    """All texts as Markdown."""
    parts = [_HEAD]
    for table, title in _TABLES.items():
        rows = (
            (key, [catalogue.text(table, key) for catalogue in CATALOGUES.values()])
            for key in CATALOGUES["en"].tables[table]
        )
        parts.append(_section(title, rows))
    parts.append(_section("Settings", _settings()))
    parts.append(_section("Tasks and the example", _tasks()))
    return "\n".join(parts)


def _settings() -> Iterator[tuple[str, list[str]]]:
    words = [I18N.translations[catalogue.locales[0]] for catalogue in CATALOGUES.values()]
    prefix = field_key("", "label")
    for key in words[0]:
        if key.startswith(prefix):
            name = key.removeprefix(prefix)
            info = field_key(name, "info")
            yield name, [f"**{each[key]}**: {each[info]}" for each in words]


def _tasks() -> Iterator[tuple[str, list[str]]]:
    pairs = task_texts()
    pairs |= {f"curve of {task.name}": task.curve for task in tasks().values() if task.curve}
    pairs |= {f"curve of {each.name}": each.curve for each in all_engines() if each.curve}
    pairs |= {f"fault {number}": (fault.english, fault.chinese) for number, fault in enumerate(FAULTS, 1)}
    for key, pair in pairs.items():
        yield key, [of_task(catalogue, key, pair) for catalogue in CATALOGUES.values()]


def _section(title: str, rows: Iterator[tuple[str, list[str]]]) -> str:
    names = " | ".join(catalogue.name for catalogue in CATALOGUES.values())
    lines = [f"## {title}\n", f"| | {names} |", f"|---|{'---|' * len(CATALOGUES)}"]
    for key, texts in rows:
        cells = " | ".join(text.replace("|", "\\|") for text in texts)
        lines.append(f"| `{key}` | {cells} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(document())
