import shutil
from pathlib import Path

import pytest

from memory.container import find_limits
from memory.probe import Hardware, Host, probe_disk, probe_hardware, probe_host
from memory.units import GIB

V1_NO_LIMIT = 9223372036854771712


def test_a_machine_without_limits_is_seen_whole(machine):
    machine.has(64, 40)
    assert probe_host(machine.root) == Host(64 * GIB, 40 * GIB, 64 * GIB, in_container=False)


def test_a_space_with_16_gb_on_a_1_tb_host_sees_16(machine):
    machine.has(1024, 900)
    machine.mounts_v2()
    machine.group_v2("", limit=16 * GIB, used=3 * GIB, cache=1 * GIB)
    assert probe_host(machine.root) == Host(16 * GIB, 14 * GIB, 1024 * GIB, in_container=True)


def test_the_same_under_version_1(machine):
    machine.has(1024, 900)
    machine.mounts_v1(own="/docker/abc", top="/docker/abc")
    machine.group_v1("", limit=16 * GIB, used=3 * GIB, cache=1 * GIB)
    assert probe_host(machine.root) == Host(16 * GIB, 14 * GIB, 1024 * GIB, in_container=True)


def test_the_smallest_limit_on_the_path_up_counts(machine):
    machine.mounts_v2(own="/pod/box/leaf")
    machine.group_v2("pod", limit=12 * GIB, used=2 * GIB)
    machine.group_v2("pod/box", limit=20 * GIB, used=1 * GIB)
    machine.group_v2("pod/box/leaf", limit="max", used=1 * GIB)
    machine.group_v2("pod/other", limit=1 * GIB)
    host = probe_host(machine.root)
    assert (host.total_bytes, host.available_bytes) == (12 * GIB, 10 * GIB)


def test_the_fullest_group_says_what_is_free_even_if_its_limit_is_larger(machine):
    machine.mounts_v2(own="/pod/box")
    machine.group_v2("pod", limit=20 * GIB, used=19 * GIB)
    machine.group_v2("pod/box", limit=8 * GIB, used=2 * GIB)
    host = probe_host(machine.root)
    assert (host.total_bytes, host.available_bytes) == (8 * GIB, 1 * GIB)


def test_nested_groups_of_version_1(machine):
    machine.mounts_v1(own="/kube/pod/box")
    machine.group_v1("", limit=V1_NO_LIMIT)
    machine.group_v1("kube/pod", limit=4 * GIB, used=1 * GIB)
    machine.group_v1("kube/pod/box", limit=V1_NO_LIMIT, used=1 * GIB)
    host = probe_host(machine.root)
    assert (host.total_bytes, host.available_bytes) == (4 * GIB, 3 * GIB)


def test_max_and_huge_numbers_are_no_limits(machine):
    machine.has(32, 20)
    machine.mounts_v2()
    machine.group_v2("", limit="max", used=5 * GIB)
    assert not probe_host(machine.root).in_container
    assert find_limits(machine.root) == ()
    machine.mounts_v1()
    machine.group_v1("", limit=V1_NO_LIMIT, used=5 * GIB)
    assert find_limits(machine.root) == ()
    assert probe_host(machine.root) == Host(32 * GIB, 20 * GIB, 32 * GIB, in_container=False)


def test_a_limit_above_the_machine_changes_nothing(machine):
    machine.has(8, 6)
    machine.mounts_v2()
    machine.group_v2("", limit=64 * GIB, used=1 * GIB)
    assert probe_host(machine.root) == Host(8 * GIB, 6 * GIB, 8 * GIB, in_container=False)


def test_the_mark_at_which_a_group_is_slowed_down_counts_as_its_end(machine):
    machine.mounts_v2()
    machine.group_v2("", limit=16 * GIB, high=10 * GIB, used=4 * GIB)
    assert probe_host(machine.root).available_bytes == 6 * GIB


def test_a_group_outside_the_mounted_part_is_read_at_its_top(machine):
    machine.mounts_v2(own="/../../elsewhere")
    machine.group_v2("", limit=6 * GIB)
    assert probe_host(machine.root).total_bytes == 6 * GIB
    machine.mounts_v2(own="/a/b", top="/c")
    assert probe_host(machine.root).total_bytes == 6 * GIB


def test_an_overfull_group_has_nothing_free(machine):
    machine.mounts_v2()
    machine.group_v2("", limit=2 * GIB, used=3 * GIB)
    assert probe_host(machine.root).available_bytes == 0


def test_files_that_make_no_sense_set_no_limit(machine):
    machine.has(8, 6)
    machine.mounts_v2()
    machine.group_v2("", limit="many")
    machine.write(
        "proc/self/mountinfo", "broken\n\n - \n" + (machine.root / "proc/self/mountinfo").read_text()
    )
    machine.write("sys/fs/cgroup/memory.stat", "inactive_file x\nalone\n")
    assert probe_host(machine.root).total_bytes == 8 * GIB


def test_a_broken_line_does_not_hide_the_limit_behind_it(machine):
    machine.mounts_v2()
    machine.group_v2("", limit=5 * GIB)
    machine.write("proc/self/mountinfo", "broken\n" + (machine.root / "proc/self/mountinfo").read_text())
    assert probe_host(machine.root).total_bytes == 5 * GIB


def test_old_kernels_tell_free_memory_only(machine):
    machine.write("proc/meminfo", f"MemTotal: {8 << 20} kB\nMemFree: {3 << 20} kB\n")
    assert probe_host(machine.root).available_bytes == 3 * GIB


def test_where_there_is_no_proc_the_system_is_asked(tmp_path):
    host = probe_host(tmp_path)
    assert 0 < host.available_bytes <= host.total_bytes


def test_this_machine():
    host = probe_host()
    assert 0 < host.available_bytes <= host.total_bytes <= host.machine_bytes


def test_disk_of_a_folder_that_does_not_exist_yet(tmp_path):
    disk = probe_disk(tmp_path / "jobs" / "later")
    assert disk.total_bytes == shutil.disk_usage(tmp_path).total
    assert 0 < disk.free_bytes <= disk.total_bytes


def test_disk_of_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert probe_disk(Path("jobs")).total_bytes == shutil.disk_usage(tmp_path).total


def test_hardware_joins_host_and_devices(machine, nvml, card, without_torch):
    machine.has(32, 20)
    hardware = probe_hardware(machine.root, nvml=nvml(card("GPU-a"), card("GPU-b")), environ={})
    assert hardware.host.total_bytes == 32 * GIB
    assert [device.uuid for device in hardware.devices] == ["GPU-a", "GPU-b"]
    assert hardware.device(1) is hardware.devices[1]
    assert hardware.device(2) is None
    assert hardware.no_device_reason == ""


@pytest.mark.parametrize("limit, total, free", [(None, 16, 10), (8, 8, 8), (12, 12, 10), (64, 16, 10)])
def test_limited_hardware_looks_smaller_never_larger(limit, total, free):
    hardware = Hardware(Host(16 * GIB, 10 * GIB, 16 * GIB))
    host = hardware.limited(ram_limit_gb=limit).host
    assert (host.total_bytes, host.available_bytes) == (total * GIB, free * GIB)


def test_limited_devices(nvml, card, machine, without_torch):
    hardware = probe_hardware(machine.root, nvml=nvml(card("GPU-a", 24 * GIB, 20 * GIB)), environ={})
    device = hardware.limited(vram_limit_gb=6).devices[0]
    assert (device.total_bytes, device.available_bytes) == (6 * GIB, 6 * GIB)
    assert hardware.limited(vram_limit_gb=48) == hardware
