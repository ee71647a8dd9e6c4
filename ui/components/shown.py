"""Components that are hidden and shown again, by a class of theirs.

Gradio's own `visible` takes a component out of the page and puts it back, its value with it; and a column that is
shown again shows the fields in it that are hidden for good. It is for views without fields.
"""

from typing import Any

import gradio as gr
from gradio.blocks import Block

_HIDDEN = "lt-hidden"


def hide(component: Block) -> None:
    """Hide a component from the start. It may have no changing class but this one."""
    component.elem_classes = [*(component.elem_classes or []), _HIDDEN]


def shown(component: Block, is_shown: bool = True, **changes: Any) -> Any:
    """An update that shows a component or hides it, with other `changes`."""
    others = [each for each in component.elem_classes or [] if each != _HIDDEN]
    return gr.update(elem_classes=others if is_shown else [*others, _HIDDEN], **changes)
