import builtins
import importlib
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from memory.devices import device_reader, find_devices, fix_threads, limit_device
from memory.oom import release
from memory.units import GIB

ROOT = Path(__file__).parents[2]
PID = os.getpid()


def find(nvml, environ=None, **others):
    return find_devices(32 * GIB, 20 * GIB, nvml=nvml, environ=environ or {}, **others)


@pytest.mark.usefixtures("without_torch")
class TestWithoutTorch:
    def test_a_card_tells_its_facts(self, nvml, card):
        (device,), reason = find(nvml(card("GPU-a", 8 * GIB, 5 * GIB, processes={1: GIB, PID: GIB})))
        assert (device.kind, device.index, device.name, device.uuid) == ("cuda", 0, "Test Card", "GPU-a")
        assert (device.total_bytes, device.free_bytes, device.available_bytes) == (8 * GIB, 5 * GIB, 5 * GIB)
        assert device.others_bytes == 2 * GIB
        assert device.utilisation_percent == 37
        assert not device.shares_host
        assert reason == ""

    def test_our_other_processes_are_not_others(self, nvml, card):
        fake = nvml(card("GPU-a", 8 * GIB, 5 * GIB, processes={7: GIB, PID: GIB}, drawing={8: GIB, 7: GIB}))
        assert find(fake, own_pids=[7])[0][0].others_bytes == GIB

    def test_a_card_that_keeps_its_secrets_is_a_device_still(self, nvml, card):
        silent = frozenset({"name", "uuid", "utilisation", "processes"})
        (device,), _ = find(nvml(card("GPU-a", silent=silent)))
        assert (device.name, device.uuid, device.utilisation_percent) == ("GPU", "", None)

    def test_a_driver_that_does_not_tell_the_bytes_of_a_process(self, nvml, card):
        (device,), _ = find(nvml(card("GPU-a", 8 * GIB, 7 * GIB, processes={PID: None})))
        assert device.others_bytes == GIB

    @pytest.mark.parametrize("broken", ["init", "count", "memory"])
    def test_an_error_of_the_driver_is_a_reason_not_a_crash(self, nvml, card, broken):
        devices, reason = find(nvml(card("GPU-a"), broken=broken))
        assert devices == ()
        assert f"no answer to {broken}" in reason
        assert "CPU" in reason

    def test_no_pynvml(self, monkeypatch):
        def missing(name):
            raise ImportError(name)

        monkeypatch.setattr(importlib, "import_module", missing)
        devices, reason = find(None)
        assert devices == ()
        assert "pynvml" in reason

    def test_a_driver_without_cards(self, nvml):
        assert find(nvml()) == ((), "The NVIDIA driver lists no GPU; computing on the CPU.")

    @pytest.mark.parametrize(
        "visible, seen",
        [
            ("0", ["GPU-aa1"]),
            ("2,0", ["GPU-bb3", "GPU-aa1"]),
            (" 1 , 2 ", ["GPU-ab2", "GPU-bb3"]),
            ("GPU-bb3", ["GPU-bb3"]),
            ("GPU-b", ["GPU-bb3"]),
            ("GPU-ab2,0", ["GPU-ab2", "GPU-aa1"]),
            ("GPU-a", []),  # two cards begin so
            ("GPU-zz", []),
            ("", []),
            ("-1", []),
            ("NoDevFiles", []),
            ("0,-1,2", ["GPU-aa1"]),  # nothing after the first that does not exist
            ("1,9,0", ["GPU-ab2"]),
            ("MIG-c4", ["MIG-c4"]),
            ("MIG-unknown", []),
            ("MIG-GPU-aa1/3/0", []),
        ],
    )
    def test_visible_devices(self, nvml, card, visible, seen):
        fake = nvml(card("GPU-aa1"), card("GPU-ab2"), card("GPU-bb3"), card("MIG-c4"))
        devices, reason = find(fake, {"CUDA_VISIBLE_DEVICES": visible})
        assert [device.uuid for device in devices] == seen
        assert [device.index for device in devices] == list(range(len(seen)))
        assert (f"CUDA_VISIBLE_DEVICES is {visible!r}" in reason) == (not seen)

    def test_torch_is_not_imported(self, nvml, card, monkeypatch):
        real = builtins.__import__

        def watched(name, *rest):
            assert name.split(".")[0] != "torch"
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", watched)
        find(nvml(card("GPU-a")))
        device_reader(nvml(card("GPU-a")))([PID])
        limit_device(GIB, "cpu")
        assert "torch" not in sys.modules

    def test_the_cpu_has_no_limit(self):
        assert limit_device(GIB, "cpu") is False


def test_a_cpu_build_of_torch_uses_no_card(nvml, card, monkeypatch, without_torch):
    monkeypatch.setattr("memory.devices.importlib.metadata.version", lambda name: "2.13.0+cpu")
    devices, reason = find(nvml(card("GPU-a")))
    assert devices == ()
    assert "2.13.0+cpu is built for the CPU" in reason


def test_a_torch_that_is_being_loaded_is_not_asked(monkeypatch, without_torch):
    half = ModuleType("torch")
    half.__spec__ = ModuleSpec("torch", None)
    half.__spec__._initializing = True
    monkeypatch.setitem(sys.modules, "torch", half)
    assert device_reader()([1]) == 0
    release()


def test_what_is_held_is_read_while_torch_is_loaded():
    """As a run does it: one thread reads while another imports."""
    code = """
import threading
from memory.devices import device_reader
read, done = device_reader(), threading.Event()
reads = 0
def load():
    try:
        import torch
    finally:
        done.set()
thread = threading.Thread(target=load)
thread.start()
while not done.is_set():
    read([1])
    reads += 1
print(reads)
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert int(told.stdout) > 1, told.stderr


def test_a_loaded_torch_without_cuda_uses_no_card(nvml, card, load_torch):
    load_torch()
    assert find(nvml(card("GPU-a"))) == ((), "This torch cannot use a GPU; computing on the CPU.")


def test_what_our_allocator_reserved_and_does_not_use_is_free_to_us(nvml, card, load_torch):
    load_torch(uuids=("a",), reserved=(3 * GIB,), allocated=(GIB,))
    (device,), _ = find(nvml(card("GPU-a", 8 * GIB, 4 * GIB)))
    assert device.reusable_bytes == 2 * GIB
    assert device.available_bytes == 6 * GIB
    assert device.others_bytes == GIB


def test_torch_may_number_cards_in_another_order(nvml, card, load_torch):
    load_torch(uuids=("b", "a"), reserved=(5, 9), allocated=(0, 0))
    devices, _ = find(nvml(card("GPU-a"), card("GPU-b")))
    assert [device.reusable_bytes for device in devices] == [9, 5]


def test_a_card_that_torch_does_not_know(nvml, card, load_torch):
    load_torch(uuids=("a",), reserved=(5,), allocated=(0,))
    devices, _ = find(nvml(card("GPU-a"), card("GPU-b")))
    assert [device.reusable_bytes for device in devices] == [5, 0]


def test_torch_that_has_not_started_the_driver_is_not_made_to(nvml, card, load_torch):
    load_torch(uuids=("a",), reserved=(5,), allocated=(0,), initialized=False)
    assert find(nvml(card("GPU-a")))[0][0].reusable_bytes == 0


class TestReader:
    def test_sums_our_processes_over_all_cards(self, nvml, card, without_torch):
        fake = nvml(card("GPU-a", processes={1: 10, 2: 20, 3: 40}), card("GPU-b", processes={2: 100}))
        assert device_reader(fake)([1, 2]) == 130

    def test_counts_a_process_in_both_lists_once(self, nvml, card, without_torch):
        assert device_reader(nvml(card("GPU-a", processes={1: 10}, drawing={1: 10})))([1]) == 10

    def test_our_allocator_counts_where_the_driver_knows_us_by_another_id(self, nvml, card, load_torch):
        load_torch(uuids=("a", "b"), reserved=(30, 12), allocated=(0, 0))
        assert device_reader(nvml(card("GPU-a", processes={99999: 50})))([PID]) == 42

    def test_no_driver_no_bytes(self, nvml, without_torch):
        assert device_reader(nvml(broken="init"))([PID]) == 0

    def test_a_driver_that_fails_later(self, nvml, card, without_torch):
        fake = nvml(card("GPU-a", processes={PID: 10}))
        read = device_reader(fake)
        fake.broken = "count"
        assert read([PID]) == 0

    def test_apple(self, nvml, load_torch, mps):
        load_torch(mps(available=True, held=77))
        assert device_reader(nvml(broken="init"))([PID]) == 77


class TestLimit:
    def test_is_a_fraction_of_the_card(self, load_torch):
        torch = load_torch(uuids=("a", "b"), total=16 * GIB)
        assert limit_device(4 * GIB, "cuda:1") is True
        assert torch.cuda.fractions == [(0.25, 1)]

    def test_larger_than_the_card_is_the_card(self, load_torch):
        torch = load_torch(uuids=("a",), total=16 * GIB)
        limit_device(64 * GIB, "cuda")
        assert torch.cuda.fractions == [(1.0, 0)]

    def test_apple(self, load_torch, mps):
        torch = load_torch(mps(available=True, total=16 * GIB))
        assert limit_device(4 * GIB, "mps:0") is True
        assert torch.mps.fractions == [0.25]

    def test_a_torch_without_devices(self, load_torch):
        load_torch()
        assert limit_device(GIB, "cuda") is False
        assert limit_device(GIB, "mps") is False

    @pytest.mark.parametrize("limit_bytes", [0, -1])
    def test_must_be_positive(self, limit_bytes):
        with pytest.raises(ValueError, match="positive"):
            limit_device(limit_bytes, "cuda")

    @pytest.mark.gpu
    def test_a_real_card_refuses_what_lies_beyond(self):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        from memory.oom import is_out_of_memory, release

        try:
            limit_device(256 << 20, "cuda")
            inside = torch.empty(64 << 20, dtype=torch.uint8, device="cuda")
            with pytest.raises(torch.OutOfMemoryError) as caught:
                torch.empty(512 << 20, dtype=torch.uint8, device="cuda")
            assert is_out_of_memory(caught.value)
            del inside
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
            release()


class TestApple:
    @pytest.fixture(autouse=True)
    def mac(self, monkeypatch, without_torch):
        monkeypatch.setattr("memory.devices.platform.system", lambda: "Darwin")
        monkeypatch.setattr("memory.devices.platform.machine", lambda: "arm64")

    def test_shares_the_host_memory(self):
        (device,), reason = find(None)
        assert (device.kind, device.shares_host, reason) == ("mps", True, "")
        assert device.total_bytes == 32 * GIB * 2 // 3
        assert device.free_bytes == 20 * GIB

    def test_torch_tells_exactly(self, load_torch, mps):
        load_torch(mps(available=True, total=24 * GIB, held=6 * GIB, used=2 * GIB))
        (device,), _ = find(None)
        assert (device.total_bytes, device.free_bytes, device.reusable_bytes) == (24 * GIB, 18 * GIB, 4 * GIB)

    def test_torch_without_mps(self, load_torch):
        load_torch()
        devices, reason = find(None)
        assert devices == ()
        assert "Apple" in reason

    def test_an_old_mac(self, monkeypatch):
        monkeypatch.setattr("memory.devices.platform.machine", lambda: "x86_64")
        devices, reason = find(None)
        assert devices == ()
        assert "Mac" in reason


def test_a_number_of_threads_is_kept() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        fix_threads(before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        fix_threads(before)
