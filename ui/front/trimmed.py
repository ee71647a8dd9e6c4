"""The configuration that the browser gets, without what only programs read. Pure functions.

Gradio sends all of it with the page; `/config` still has the whole for programs.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Config = dict[str, Any]

_TRANSLATED = re.compile(r'\\"key\\": \\"(\w+)\\"')
"""The key of a text in a property; the property is JSON in a JSON string."""
_OF_COMPONENTS = frozenset({"api_info", "api_info_as_input", "api_info_as_output", "example_inputs", "key"})
"""What a component tells programs."""
_OF_PROPS = frozenset({"preserved_by_key"})
"""What is read of components that are drawn anew by the server, of which there are none."""


def trimmed(config: Mapping[str, Any]) -> Config:
    """Return `config` without components that only the API has, equal translations and descriptions for programs."""
    private = [each for each in config["dependencies"] if each["api_visibility"] != "public"]
    public = [each for each in config["dependencies"] if each["api_visibility"] == "public"]
    unused = _used(public) - _used(private)
    dropped = {
        each["id"]
        for each in config["components"]
        if each["id"] in unused and each["props"].get("visible") is False
    }
    layout = _without(config["layout"], dropped, _containers(config["components"]))
    left = _ids(layout)
    components = [_component(each) for each in config["components"] if each["id"] in left]
    used = set(_TRANSLATED.findall(json.dumps([each["props"] for each in components], default=str)))
    page = {**config["page"][""], "layout": layout, "components": [each["id"] for each in components]}
    return {
        **config,
        "components": components,
        "dependencies": [*map(_unmarked, private), *map(_named, public)],
        "layout": layout,
        "page": {"": page},
        "i18n_translations": _translations(config.get("i18n_translations") or {}, used),
        "current_page": "",
        "deep_link_state": "none",
    }


def _used(dependencies: Iterable[Mapping[str, Any]]) -> set[int]:
    """The components of events."""
    found: set[int] = set()
    for each in dependencies:
        found |= {*each["inputs"], *each["outputs"], *(target for target, _ in each["targets"])}
    return found


def _containers(components: Sequence[Mapping[str, Any]]) -> set[int]:
    """The frames that Gradio draws around fields by itself: without fields they go."""
    return {each["id"] for each in components if each["type"] == "form"}


def _without(node: Mapping[str, Any], dropped: set[int], containers: set[int]) -> Config:
    """The tree below `node` without what is dropped, and without containers that are empty then."""
    children = [
        _without(child, dropped, containers)
        for child in node.get("children") or ()
        if child["id"] not in dropped
    ]
    kept = [child for child in children if child["id"] not in containers or child.get("children")]
    return {**node, "children": kept} if kept else {"id": node["id"]}


def _ids(node: Mapping[str, Any]) -> set[int]:
    return {node["id"]}.union(*(_ids(child) for child in node.get("children", ())))


def _component(each: Mapping[str, Any]) -> Config:
    props = {name: value for name, value in each["props"].items() if name not in _OF_PROPS}
    return {**{name: value for name, value in each.items() if name not in _OF_COMPONENTS}, "props": props}


def _named(dependency: Mapping[str, Any]) -> Config:
    """An endpoint as *Use via API* needs it: listed, and set off by nothing on the page."""
    return {**dependency, "targets": [], "inputs": [], "outputs": []}


def _unmarked(dependency: Mapping[str, Any]) -> Config:
    """An event without components that show its progress where it is hidden.

    With each message of an event, Gradio tells its state to all components that have ever been marked so, and reads all
    that stands below them: of the tabs, the whole page.
    """
    hidden = dependency.get("show_progress") == "hidden"
    return {**dependency, "show_progress_on": []} if hidden else dict(dependency)


def _translations(tables: Mapping[str, Mapping[str, str]], used: set[str]) -> Config:
    """The texts that the page shows, without tables that repeat their language's: a browser in `zh-CN` finds `zh`."""
    return {
        name: {key: text for key, text in table.items() if key in used}
        for name, table in tables.items()
        if "-" not in name or tables.get(name.partition("-")[0]) != table
    }
