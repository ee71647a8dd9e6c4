"""How handlers that update the page several times end."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import wraps
from typing import Any, ParamSpec

import gradio as gr

P = ParamSpec("P")


def ends_quietly(handler: Callable[P, AsyncIterator[Any]]) -> Callable[P, AsyncGenerator[Any]]:
    """Make a generator handler end with an update that changes nothing.

    When a generator ends, Gradio sends its last update once more, which would undo what a newer run wrote meanwhile;
    where there was none it sends null for each output, which takes the values of the form away.
    """

    @wraps(handler)
    async def run(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any]:
        async with aclosing(handler(*args, **kwargs)) as updates:  # type: ignore[type-var]
            async for update in updates:
                yield update
        yield gr.skip()

    run.ends_quietly = True  # type: ignore[attr-defined]
    return run
