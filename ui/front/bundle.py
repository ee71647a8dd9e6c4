"""The page's scripts as one file, and the style sheets of its first screen as another: a request each, not forty."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from ui import theme
from ui.components.option_sheet import sheets_script
from ui.front.early import STYLES
from ui.front.names import names_script

_THEME = "theme.css"


def scripts(blocks: gr.Blocks) -> tuple[str, str]:
    """Name and contents of the file with all scripts of the page `blocks`."""
    text = ";\n".join([*theme.SCRIPTS.values(), sheets_script(blocks) + names_script()])
    return _hashed("page.js", text), text


def styles(blocks: gr.Blocks, assets: Mapping[str, Path]) -> tuple[str, str]:
    """Name and contents of the file with Gradio's style sheets in `assets` and the theme; `blocks` is being served."""
    sheets = {name: assets[name].read_text(encoding="utf-8") for name in STYLES if name in assets}
    sheets[_THEME] = blocks.theme_css
    text = "\n".join(sheets[name] for name in STYLES if name in sheets)
    return _hashed("gradio.css", text), text


def styles_links(blocks: gr.Blocks, assets: Mapping[str, Path], root: str) -> str:
    """The style sheets that are in `styles`, as links that are not followed.

    Gradio's scripts wait for each style sheet until it is there, unless the page has a link to it.
    """
    mine = [f"./assets/{name}" for name in STYLES if name in assets]
    # Gradio looks for the theme by its whole address.
    every = [*mine, f"{root}/{_THEME}?v={blocks.theme_hash}"]
    return "".join(f'<link rel="stylesheet" href="{address}" disabled>' for address in every)


def _hashed(name: str, text: str) -> str:
    """`page.js` with the hash of its contents: `page-1f2e3d4c5b6a.js`."""
    stem, _, suffix = name.rpartition(".")
    return f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.{suffix}"
