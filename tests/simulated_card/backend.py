"""The device `sim` for PyTorch, once for a process, and the card that lies behind it at the moment."""

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any

import torch

from tests.simulated_card.card import Card
from tests.simulated_card.tensor import NAME, aten, run

_REGISTER = "_setup_privateuseone_for_python_backend"
_OVERLOADS = (
    # Called below the layer that subclasses see: by `torch.tensor(..., device=)`, and for lists as indices.
    "copy_.default",
    # PyTorch would make these empty and let a kernel resize them, which a wrapped tensor cannot follow.
    "arange.default",
    "arange.start",
    "arange.start_step",
    "linspace.default",
    "logspace.default",
    "eye.default",
    "eye.m",
    "full.default",
    "rand.default",
    "randn.default",
    "randperm.default",
    # One kernel on a card, whose matrix of scores is never held.
    "scaled_dot_product_attention.default",
)
_card: Card | None = None


@contextmanager
def simulated_card(limit_bytes: int | None = None, *, values: bool = True) -> Iterator[Card]:
    """Give the device `sim` a new card: with a limit or none, with real values or with shapes only.

    Raises RuntimeError where this PyTorch cannot have such a device.
    """
    global _card
    _register()
    before, _card = _card, Card(limit_bytes, values)
    with ExitStack() as stack:
        stack.callback(_unplug, before)
        # Parameters that move to another kind of tensor are replaced, not filled.
        stack.callback(
            torch.__future__.set_overwrite_module_params_on_conversion,
            torch.__future__.get_overwrite_module_params_on_conversion(),
        )
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        if not values:
            config: Any = importlib.import_module("torch.fx.experimental._config")
            stack.enter_context(config.patch(meta_nonzero_assume_all_nonzero=True))
        yield _card


def _unplug(before: Card | None) -> None:
    global _card
    _card = before


def _plugged() -> Card:
    if _card is None:
        raise RuntimeError(f"no simulated card is in use: make tensors on `{NAME}` inside `simulated_card()`")
    return _card


@cache
def _register() -> list[torch.library.Library]:
    """Register the device; returns what must live as long as the process."""
    torch_side: Any = importlib.import_module("torch.utils.backend_registration")
    if not hasattr(torch_side, _REGISTER):
        raise RuntimeError(
            f"The simulated card needs torch.utils.backend_registration.{_REGISTER}, an experimental function that"
            f" PyTorch 2.13 has and PyTorch {torch.__version__} has not: install the pinned version, or find what"
            " replaces it."
        )
    getattr(torch_side, _REGISTER)(NAME)
    library: Any = torch.library.Library
    other, ours = library("_", "IMPL"), library("aten", "IMPL")
    other.fallback(
        lambda func, *args, **kwargs: run(_plugged(), func, args, kwargs), dispatch_key="PrivateUse1"
    )
    for overload in _OVERLOADS:
        name, _, which = overload.partition(".")
        func = getattr(getattr(aten, name), which)
        ours.impl(overload.removesuffix(".default"), partial(_kernel, func), "PrivateUse1")
    return [other, ours]


def _kernel(func: Any, *args: Any, **kwargs: Any) -> Any:
    return run(_plugged(), func, args, kwargs)
