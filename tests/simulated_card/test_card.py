"""The simulated card itself: what it computes, what it refuses, what it counts."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from memory.oom import is_out_of_memory
from memory.units import MIB
from tests.simulated_card import Card, backend, simulated_card

Make = Callable[..., Any]
MEBIBYTE = 1 << 18
"""So many float32 values take one."""


@pytest.fixture
def card() -> Iterator[Card]:
    with simulated_card() as card, torch.no_grad():
        yield card


@pytest.fixture
def shapes() -> Iterator[Card]:
    """A card with shapes only."""
    with simulated_card(values=False) as card, torch.no_grad():
        yield card


def test_values_are_those_of_the_cpu(card: Card) -> None:
    conv, x = nn.Conv2d(3, 4, 3), torch.rand(2, 3, 8, 8)
    expected = conv(x)
    found = conv.to("sim")(x.to("sim"))
    assert found.device == torch.device("sim", 0)
    assert not found.is_cuda
    assert not found.is_cpu
    assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize(
    "made",
    [
        lambda device: torch.zeros(2, 3, device=device),
        lambda device: torch.full((2,), 7.0, device=device),
        lambda device: torch.arange(3, device=device),
        lambda device: torch.arange(1, 9, 2, device=device, dtype=torch.float32),
        lambda device: torch.linspace(0, 1, 5, device=device),
        lambda device: torch.eye(3, device=device),
        lambda device: torch.tensor([[1, 2], [3, 4]], device=device),
        lambda device: torch.ones(3).new_full((2, 2), 5, device=device),
        lambda device: torch.arange(6.0).to(device).view(2, 3)[[1, 0]],
        lambda device: torch.arange(6.0).to(device)[torch.tensor([5, 0])],
        lambda device: torch.arange(6.0).to(device)[torch.arange(6) > 2],
        lambda device: torch.zeros(4, device=device).index_fill_(0, torch.tensor([1], device=device), 2.0),
        lambda device: torch.ones(3, device=device) * torch.tensor(2.0),
        lambda device: torch.ones(3).to(device, torch.float16) + 1,
    ],
)
def test_tensors_are_made_and_indexed_as_on_the_cpu(card: Card, made: Make) -> None:
    there, here = made("sim"), made("cpu")
    assert there.device.type == "sim"
    assert there.dtype == here.dtype
    assert torch.equal(there.cpu(), here)


def test_parts_are_written_in_place(card: Card) -> None:
    x = torch.zeros(3, 4, device="sim")
    x[[0, 2], 1:3] = 1.0
    x[1].add_(5)
    torch.mm(torch.eye(3, device="sim"), torch.ones(3, 4, device="sim"), out=x)
    assert x.tolist() == [[1.0] * 4] * 3


def test_values_move_both_ways(card: Card) -> None:
    x = torch.rand(2, 3).to("sim")
    assert torch.equal(torch.empty(2, 3).copy_(x), x.cpu())
    assert x.to("cpu", torch.float64).dtype == torch.float64
    assert torch.equal(x.clone().copy_(torch.ones(3)).cpu(), torch.ones(2, 3))


def test_results_on_the_host_are_copies(card: Card) -> None:
    x = torch.zeros(2, device="sim")
    before = x.cpu()
    x.add_(1)
    assert before.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("join", [torch.add, torch.mm, lambda a, b: torch.cat([a, b])])
@pytest.mark.parametrize("first", ["sim", "cpu"])
def test_misplaced_tensors_are_refused(card: Card, join: Make, first: str) -> None:
    other = "cpu" if first == "sim" else "sim"
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        join(torch.ones(2, 2, device=first), torch.ones(2, 2, device=other))


def test_misplaced_weights_are_refused(card: Card) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        nn.Linear(3, 4)(torch.ones(2, 3, device="sim"))


def test_numpy_is_refused(card: Card) -> None:
    with pytest.raises(TypeError, match=re.escape("Use Tensor.cpu()")):
        torch.ones(2, device="sim").numpy()


def test_resizing_in_place_is_refused(card: Card) -> None:
    with pytest.raises(NotImplementedError, match="resized"):
        torch.ones(2, device="sim").resize_(3)


def test_tensors_of_an_earlier_card_are_refused(card: Card) -> None:
    earlier = torch.ones(2, device="sim")
    with simulated_card(), pytest.raises(RuntimeError, match="an earlier simulated card"):
        earlier + torch.ones(2, device="sim")


def test_without_a_card_nothing_is_made_on_it(card: Card) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "_card", None)
        with pytest.raises(RuntimeError, match="no simulated card is in use"):
            torch.ones(2, device="sim")


def test_a_pytorch_without_the_experimental_function_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.utils.backend_registration as registration

    monkeypatch.delattr(registration, "_setup_privateuseone_for_python_backend")
    with pytest.raises(RuntimeError, match="install the pinned version"):
        backend._register.__wrapped__()


def test_storages_count_once_while_they_live(card: Card) -> None:
    x = torch.zeros(4, MEBIBYTE, device="sim")
    assert card.held_bytes == 4 * MIB
    part = x[1].view(2, -1)
    assert card.held_bytes == 4 * MIB
    x = x * 2
    assert (card.held_bytes, card.peak_bytes) == (8 * MIB, 8 * MIB)
    del x
    assert card.held_bytes == 4 * MIB
    del part
    assert (card.held_bytes, card.peak_bytes) == (0, 8 * MIB)
    card.reset()
    assert card.peak_bytes == 0


def test_small_tensors_take_a_block(card: Card) -> None:
    x = torch.ones(1, device="sim")
    assert x.device.type == "sim"
    assert card.held_bytes == 512


def test_networks_that_leave_free_their_memory(card: Card) -> None:
    network = nn.Linear(512, 512, bias=False)
    network.to("sim")
    assert card.held_bytes == MIB
    network.to("sim", torch.float16)
    assert card.held_bytes == MIB // 2
    network.to("cpu")
    assert card.held_bytes == 0


@pytest.mark.parametrize("values", [True, False])
def test_memory_is_limited_in_the_words_of_cuda(values: bool) -> None:
    with simulated_card(limit_bytes=3 * MIB, values=values) as card:
        x = torch.zeros(2, MEBIBYTE, device="sim")
        with pytest.raises(torch.OutOfMemoryError) as refused:
            x + 1
        assert "Tried to allocate 2.00 MiB. GPU 0 has a total capacity of 3.00 MiB of which 1.00 MiB" in str(
            refused.value
        )
        assert is_out_of_memory(refused.value)
        del refused
        assert card.held_bytes == 2 * MIB
        assert x.add_(1).shape == (2, MEBIBYTE)
        del x
        assert torch.zeros(3, MEBIBYTE, device="sim").shape == (3, MEBIBYTE)


def test_operations_count_and_views_do_not(card: Card) -> None:
    x = torch.rand(4, 4).to("sim")
    card.reset()
    y = torch.empty_like(x).copy_(x.t().reshape(16).view(4, 4)[1:, :2].sum())
    assert y.shape == (4, 4)
    # The transposed matrix is copied; a sum; a copy into empty memory.
    assert card.operations == {"clone": 1, "sum": 1, "copy_": 1}


def test_attention_is_one_operation_without_a_matrix_of_scores(shapes: Card) -> None:
    q = torch.zeros(1, 4, 4096, 128, device="sim")
    functional.scaled_dot_product_attention(q, q, q)
    assert shapes.operations["scaled_dot_product_attention"] == 1
    assert shapes.peak_bytes == 2 * q.nbytes


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda x: x.sum().item(), "item"),
        (lambda x: float(x.max()), "item"),
        (lambda x: bool(x[0, 0] > 0), "item"),
        (lambda x: x.tolist(), "download"),
        (lambda x: x.cpu(), "download"),
        (lambda x: torch.empty(2, 2).copy_(x), "download"),
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: x[x > 0], "nonzero"),
    ],
)
@pytest.mark.parametrize("values", [True, False])
def test_waits_of_the_host_count(ask: Make, name: str, values: bool) -> None:
    with simulated_card(values=values) as card, torch.no_grad():
        x = torch.ones(2, 2).to("sim")
        assert not card.waits
        ask(x)
        assert card.waits == {name: 1}


def test_a_comparison_of_tensors_is_a_wait(card: Card) -> None:
    x = torch.ones(2, device="sim")
    assert torch.equal(x, x)
    assert card.waits == {"equal": 1}


def test_downloads_that_do_not_block_are_no_waits(card: Card) -> None:
    torch.ones(2, device="sim").to("cpu", non_blocking=True)
    assert not card.waits
    assert (card.downloads.count, card.downloads.bytes) == (1, 8)


def test_transfers_count_with_their_bytes(card: Card) -> None:
    x = torch.ones(10, 10).to("sim")
    x[[1, 2]].cpu()
    # The values, and the list as indices of 8 bytes.
    assert (card.uploads.count, card.uploads.bytes) == (2, 400 + 16)
    assert (card.downloads.count, card.downloads.bytes) == (1, 80)


def test_shapes_alone_give_zeros_of_the_right_shape(shapes: Card) -> None:
    conv = nn.Conv2d(3, 8, 3, stride=2).to("sim", torch.float16)
    found = conv(torch.ones(1, 3, 65, 65).to("sim", torch.float16))
    assert (found.shape, found.dtype) == ((1, 8, 32, 32), torch.float16)
    # The weights take a block each.
    assert shapes.held_bytes == found.nbytes + 2 * 512
    assert not found.cpu().any()
    assert found.sum().item() == 0.0
    assert found.any().item() is False


def test_shapes_alone_take_nothing_as_zero(shapes: Card) -> None:
    assert (torch.ones(3, 4).to("sim") > 0).nonzero().shape == (12, 2)


def test_masks_of_the_host_keep_their_count_with_shapes_alone(shapes: Card) -> None:
    x = torch.ones(10).to("sim")
    assert x[torch.arange(10) > 6].shape == (3,)
    assert not shapes.waits


def test_inference_mode_is_followed(card: Card) -> None:
    conv, x = nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        expected = functional.interpolate(conv(x), scale_factor=2).flatten(1)
        found = functional.interpolate(conv.to("sim")(x.to("sim")), scale_factor=2).flatten(1)
    assert torch.equal(found.cpu(), expected)


def test_what_the_card_changes_in_pytorch_is_put_back() -> None:
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    with simulated_card():
        assert torch.__future__.get_overwrite_module_params_on_conversion()
    assert torch.__future__.get_overwrite_module_params_on_conversion() == before
