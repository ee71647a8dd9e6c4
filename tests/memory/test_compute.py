"""The device object: what each kind can do, and how another kind is added."""

import sys

import pytest

from memory.compute import (
    ComputeDevice,
    compute_device,
    is_on_host,
    known_devices,
    register,
    registered_devices,
    unregister,
)
from memory.devices import find_devices
from memory.oom import release
from memory.units import GIB


class Toy(ComputeDevice):
    """A card that a test registers."""

    calls: list[str]

    def __init__(self, kind: str, index: int | None = None) -> None:
        super().__init__(kind, index)
        self.calls = []

    @property
    def usable(self) -> bool:
        return True

    in_use = usable

    def total_bytes(self) -> int:
        return 8 * GIB

    def free_bytes(self) -> int:
        return 5 * GIB

    def reserved_bytes(self) -> int:
        return 2 * GIB

    def allocated_bytes(self) -> int:
        return GIB

    def synchronise(self) -> None:
        self.calls.append("synchronise")

    def release(self) -> None:
        self.calls.append("release")


@pytest.fixture
def toy():
    register("toy", Toy)
    yield
    unregister("toy")


@pytest.mark.parametrize(
    ("name", "host", "float16", "prefers", "auto"),
    [
        ("cpu", True, False, False, False),
        ("cuda", False, True, True, True),
        ("cuda:1", False, True, True, True),
        ("mps:0", False, True, False, False),
        ("xpu", False, True, False, False),
        ("never-heard-of:3", False, True, False, False),
    ],
)
def test_what_each_kind_can_do(name: str, host: bool, float16: bool, prefers: bool, auto: bool) -> None:
    device = compute_device(name)
    assert device is compute_device(name)
    assert device.name == name
    assert is_on_host(name) == device.is_host == host
    assert (device.has_float16, device.prefers_float16, device.suits_auto) == (float16, prefers, auto)


def test_a_torch_device_is_taken_by_its_name(load_torch) -> None:
    class Named:
        def __str__(self) -> str:
            return "cuda:2"

    assert compute_device(Named()) is compute_device("cuda:2")


def test_nothing_is_loaded_to_ask_what_is_held(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert known_devices() == []
    assert compute_device("cuda").reserved_bytes() == compute_device("mps").allocated_bytes() == 0
    assert "torch" not in sys.modules


def test_a_registered_kind_is_found_measured_and_released(toy) -> None:
    (device,), reason = find_devices(64 * GIB, 32 * GIB)
    assert (device.kind, device.total_bytes, device.free_bytes, reason) == ("toy", 8 * GIB, 5 * GIB, "")
    assert device.reusable_bytes == GIB
    assert (device.alone, device.shares_host) == ((), False)
    release()
    assert compute_device("toy").calls == ["synchronise", "release"]
    assert [each.kind for each in registered_devices()] == ["toy"]


def test_a_kind_without_a_limit_says_so(toy) -> None:
    assert compute_device("toy").limit(GIB) is False
    with pytest.raises(ValueError, match="positive"):
        compute_device("toy").limit(0)


class Event:
    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name


class Stream:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def record_event(self) -> Event:
        self.log.append("record")
        return Event(self.log, f"end {self.log.count('record')}")

    def wait_event(self, event: Event) -> None:
        self.log.append(f"wait for {event.name}")

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def __enter__(self) -> None:
        self.log.append("enter")

    def __exit__(self, *_: object) -> None:
        self.log.append("leave")


def test_copies_wait_for_the_use_of_their_slot_and_end_before_they_are_used(load_torch) -> None:
    torch, log = load_torch(uuids=("a",)), []
    own = Stream(log)
    torch.cuda.Stream = lambda name: own
    torch.cuda.current_stream = lambda name: Stream(log)
    torch.cuda.stream = lambda stream: stream
    copies = compute_device("cuda").copies(2)
    copies.used(1)
    log.clear()
    with copies.filling(1):
        log.append("copy")
    assert log == ["enter", "wait for end 2", "copy", "synchronize", "leave"]


def test_copies_on_the_host_need_no_order() -> None:
    copies = compute_device("cpu").copies(2)
    copies.used(0)
    with copies.filling(0):
        pass
