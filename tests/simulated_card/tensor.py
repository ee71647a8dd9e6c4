"""Tensors of the simulated card, and how operations on them run on the tensors behind them."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._pytree import tree_iter, tree_map_only

from tests.simulated_card.card import Card

NAME = "sim"
WAITING = {"nonzero", "masked_select", "equal", "unique_consecutive", "_unique2", "bincount"}
"""Operations whose results, or their shapes, the host must know: it waits."""
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}
"""Operations whose indices may lie on the host: the card fetches them."""
NO_KERNEL = {"empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "_unsafe_view"}
"""Operations without a kernel that are no views by their schema."""

aten = torch.ops.aten


class CardTensor(Tensor):
    """A tensor on a card. `backing` holds its values on the CPU, or its shape on `meta`."""

    backing: Tensor
    card: Card

    @staticmethod
    def __new__(cls, backing: Tensor, card: Card) -> Self:
        """Wrap a tensor of the home of `card`; its storage counts from now on."""
        card.add(backing.untyped_storage())
        made: Self = Tensor._make_wrapper_subclass(
            cls,
            backing.size(),
            strides=backing.stride(),
            storage_offset=backing.storage_offset(),
            dtype=backing.dtype,
            layout=backing.layout,
            device=torch.device(NAME, 0),
        )
        made.backing, made.card = backing, card
        return made

    def __init__(self, backing: Tensor, card: Card) -> None:
        pass

    def __repr__(self, *, tensor_contents: object = None) -> str:  # type: ignore[override]
        """The shape alone: printing values would make the host wait."""
        return f"CardTensor({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        cards = {each.card for each in tree_iter((args, kwargs)) if isinstance(each, CardTensor)}
        if len(cards) != 1:
            raise RuntimeError("a tensor of an earlier simulated card is used together with one of this card")
        return run(cards.pop(), func, args, kwargs or {})

    def tolist(self) -> Any:
        """Return the values; zeros where there are shapes only."""
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Refuse, as on a card, unless forced."""
        if force:
            return self.cpu().numpy()
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host"
            " memory first."
        )


def run(card: Card, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation of which a tensor or the result lies on `card`. Raises RuntimeError for misplaced tensors."""
    name = func.overloadpacket.__name__
    if _is_composed(func):
        return func.decompose(*args, **kwargs)
    if special := _SPECIAL.get(name):
        return special(card, *args, **kwargs)
    makes = kwargs.get("device")
    if makes is None:
        args = _placed(card, name, args, kwargs)
    else:
        kwargs = {**kwargs, "device": card.home if makes.type == NAME else makes}
    _count(card, func, name)
    wrappers = {id(each.backing): each for each in tree_iter((args, kwargs)) if isinstance(each, CardTensor)}
    result = func(*_backing(args), **_backing(kwargs))
    for wrapper in wrappers.values() if func._schema.is_mutable else ():
        if wrapper.shape != wrapper.backing.shape or wrapper.stride() != wrapper.backing.stride():
            raise NotImplementedError(
                f"{func} resized a tensor in place, which the simulated card cannot follow"
            )
    if makes is not None and makes.type != NAME:
        return result

    def wrapped(each: Tensor) -> Tensor:
        return wrappers[id(each)] if id(each) in wrappers else CardTensor(each, card)

    return tree_map_only(Tensor, wrapped, result)


@cache
def _is_composed(func: Any) -> bool:
    """Whether PyTorch has taken this operation apart before it comes here, except in inference mode."""
    composed = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    return composed and func is not aten.scaled_dot_product_attention.default


def _backing(tree: Any) -> Any:
    return tree_map_only(CardTensor, lambda each: each.backing, tree)


def _count(card: Card, func: Any, name: str) -> None:
    if not func.is_view and name not in NO_KERNEL:
        card.operations[name] += 1
    if name in WAITING:
        card.waits[name] += 1


def _placed(card: Card, name: str, args: Any, kwargs: Any) -> Any:
    """Refuse tensors on the host; single values may lie there, as on a card, and indices, which are fetched."""
    if name in INDEXED:
        args = (args[0], _fetched(card, args[1]), *args[2:])
    for each in tree_iter((args, kwargs)):
        if isinstance(each, Tensor) and not isinstance(each, CardTensor) and each.ndim:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices,"
                f" {NAME}:0 and {each.device}! ({name})"
            )
    return args


def _fetched(card: Card, indices: Iterable[Tensor | None]) -> list[Tensor | None]:
    """Fetch the indices that lie on the host. A mask on the card makes the host wait: its places must be counted."""
    found: list[Tensor | None] = []
    for each in indices:
        if each is not None and each.dtype in (torch.bool, torch.uint8):
            found += (_fetch(card, index) for index in each.nonzero().unbind(1))
        else:
            found.append(None if each is None else _fetch(card, each))
    return found


def _fetch(card: Card, tensor: Tensor) -> Tensor:
    if isinstance(tensor, CardTensor):
        return tensor
    card.uploads.add(tensor)
    return CardTensor(tensor.to(card.home, copy=True), card)


def _copy(card: Card, to: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    if isinstance(to, CardTensor) and isinstance(source, CardTensor):
        card.operations["copy_"] += 1
        to.backing.copy_(source.backing)
    elif isinstance(to, CardTensor):
        card.uploads.add(source)
        to.backing.copy_(source)
    elif isinstance(source, CardTensor):
        to.copy_(_downloaded(card, source, non_blocking))
    return to


def _to_copy(card: Card, tensor: CardTensor, **kwargs: Any) -> Tensor:
    device = kwargs.pop("device", None)
    if device is None or device.type == NAME:
        card.operations["_to_copy"] += 1
        return CardTensor(aten._to_copy.default(tensor.backing, **kwargs), card)
    kwargs.pop("pin_memory", None)
    return _downloaded(card, tensor, kwargs.get("non_blocking", False)).to(
        device, copy=True, **_kinds(kwargs)
    )


def _kinds(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: kwargs[name] for name in ("dtype", "memory_format") if kwargs.get(name) is not None}


def _downloaded(card: Card, tensor: CardTensor, non_blocking: bool = False) -> Tensor:
    """The values on the host; zeros where there are shapes only."""
    card.downloads.add(tensor)
    if not non_blocking:
        card.waits["download"] += 1
    return tensor.backing if card.values else torch.zeros_like(tensor.backing, device="cpu")


def _item(card: Card, tensor: CardTensor) -> Any:
    card.waits["item"] += 1
    return (tensor.backing if card.values else torch.zeros((), dtype=tensor.dtype)).item()


_SPECIAL: dict[str, Callable[..., Any]] = {
    "copy_": _copy,
    "_to_copy": _to_copy,
    "_local_scalar_dense": _item,
}
