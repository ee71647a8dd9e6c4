"""The tree of processes on simulated systems: what is read, how often, and what it adds up to."""

import os
import resource
import subprocess
import sys

import psutil
import pytest

from memory import process_tree as module
from memory.process_tree import ProcessTree, own_peak_bytes, reset_own_peak, tree_bytes
from memory.units import KIB, MIB


class System:
    """A `/proc` in a folder, and clocks that tests turn."""

    def __init__(self, root):
        self.root, self.now, self.cpu = root, 0.0, 0.0
        self.process(1, rss=100, pss=60)
        (root / "proc/self").symlink_to("1")

    def process(self, pid, *, rss, pss, peak=0, size=None, children=()):
        """Write a process; sizes are MiB."""
        folder = self.root / f"proc/{pid}"
        task = folder / f"task/{pid}"
        task.mkdir(parents=True, exist_ok=True)
        (task / "children").write_text(" ".join(map(str, children)))
        size = 10 * rss + pid if size is None else size
        lines = [f"VmSize:\t{size * KIB} kB", f"VmHWM:\t{peak * KIB} kB", f"VmRSS:\t{rss * KIB} kB"]
        (folder / "status").write_text("Name:\tx\n" + "\n".join(lines) + "\n")
        (folder / "smaps_rollup").write_text(f"0-1 [rollup]\nRss: {rss * KIB} kB\nPss: {pss * KIB} kB\n")

    def end(self, pid):
        folder = self.root / f"proc/{pid}"
        for name in ("status", "smaps_rollup"):
            (folder / name).unlink()
        (folder / f"task/{pid}/children").unlink()
        (folder / f"task/{pid}").rmdir()
        (folder / "task").rmdir()

    def tree(self):
        return ProcessTree(1, root=self.root, clock=lambda: self.now, cpu_clock=lambda: self.cpu)


@pytest.fixture
def system(tmp_path):
    return System(tmp_path)


def mib(reading):
    return {pid: held.held_bytes // MIB for pid, held in reading.items()}


def test_between_readings_of_pss_the_growth_of_rss_counts(system):
    tree = system.tree()
    assert mib(tree.read()) == {1: 60}
    system.process(1, rss=130, pss=75)
    system.now = 0.5
    assert mib(tree.read()) == {1: 90}, "60 and what RSS has grown by"
    assert tree.latest[1].shared_bytes == 40 * MIB
    assert mib(tree.read(exact=True)) == {1: 75}
    system.process(1, rss=110, pss=0)
    system.now = 0.9
    assert mib(tree.read()) == {1: 55}, "75 less what RSS has fallen by"


def test_pss_is_read_once_a_second(system):
    tree = system.tree()
    tree.read()
    system.process(1, rss=100, pss=20)
    seen = []
    for tenth in range(1, 12):
        system.now = tenth / 10
        seen += mib(tree.read()).values()
    assert seen == [60] * 9 + [20] * 2


def test_pss_that_takes_long_is_read_seldom(system, monkeypatch):
    """A process of many GB is not walked every second: reading PSS takes at most 0.3 % of a core."""
    tree = system.tree()
    walked = []

    def slow(linux, pid):
        walked.append(system.now)
        system.cpu += 0.03
        return 60 * MIB

    monkeypatch.setattr(module._Linux, "proportional", slow)
    for tenth in range(201):
        system.now = tenth / 10
        tree.read()
    assert walked == [0.0, 10.0, 20.0]


def test_a_new_child_counts_and_one_that_ended_does_not(system):
    tree = system.tree()
    tree.read()
    system.process(2, rss=50, pss=40)
    system.process(1, rss=100, pss=60, children=[2])
    system.now = 0.4
    assert mib(tree.read()) == {1: 60, 2: 40}
    system.end(2)
    system.now = 0.5
    assert mib(tree.read()) == {1: 60}
    system.end(1)
    assert tree.read() == {}


def test_a_child_before_its_exec_is_not_a_second_parent(system):
    """Between fork and exec the memory of a child is its parent's: it would count twice."""
    tree = system.tree()
    tree.read()
    system.process(1, rss=100, pss=60, size=1001, children=[2])
    system.process(2, rss=100, pss=60, size=1001)
    system.now = 0.4
    assert mib(tree.read()) == {1: 60}
    system.process(2, rss=10, pss=5)
    system.now = 0.5
    assert mib(tree.read()) == {1: 60, 2: 5}


def test_a_child_that_stays_a_copy_counts_from_the_second_reading_on(system):
    tree = system.tree()
    tree.read()
    system.process(1, rss=100, pss=60, size=1001, children=[2])
    system.process(2, rss=100, pss=30, size=1001)
    readings = []
    for system.now in (0.4, 0.5):
        readings.append(mib(tree.read()))
    assert readings == [{1: 60}, {1: 60, 2: 30}]


def test_tells_the_high_water_mark_of_each_process(system):
    system.process(1, rss=100, pss=60, peak=400)
    assert system.tree().read()[1].peak_bytes == 400 * MIB


def test_a_kernel_without_lists_of_children_is_asked_through_psutil(system, monkeypatch):
    (system.root / "proc/1/task/1/children").unlink()
    system.process(2, rss=50, pss=40)
    (system.root / "proc/2/task/2/children").unlink()
    monkeypatch.setattr(module, "_children_by_psutil", lambda pid: [2] if pid == 1 else [])
    assert mib(system.tree().read()) == {1: 60, 2: 40}


def test_where_pss_may_not_be_read_rss_counts(system, monkeypatch):
    def refused(self):
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "memory_full_info", refused)
    (system.root / "proc/1/smaps_rollup").unlink()
    assert mib(system.tree().read()) == {1: 100}


HOLD = "import sys; held = bytearray(b'x') * int(sys.argv[1]); print(flush=True); input()"


def test_without_proc_psutil_measures_the_tree(tmp_path):
    """A folder without `/proc` stands for macOS and Windows; psutil itself reads the real system."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(40 * MIB)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        child.stdout.readline()
        tree = ProcessTree(os.getpid(), root=tmp_path)
        reading = tree.read()
        assert {os.getpid(), child.pid} <= set(reading)
        assert 40 * MIB <= reading[child.pid].held_bytes < 90 * MIB
        assert reading[child.pid].shared_bytes == 0
        alone = ProcessTree(child.pid, root=tmp_path)
        assert set(alone.read()) == {child.pid}
    finally:
        child.communicate(b"\n")
    assert alone.read(exact=True) == {}


@pytest.mark.parametrize("name", ["peak_wset", "peak_pagefile"])
def test_without_proc_the_peak_is_what_the_system_keeps(tmp_path, monkeypatch, name):
    class Info:
        vms, rss = 10, 5

    monkeypatch.setattr(Info, name, 9, raising=False)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda self: Info())
    assert own_peak_bytes(tmp_path) == 9


def test_without_proc_the_own_peak_comes_from_getrusage(tmp_path):
    assert own_peak_bytes(tmp_path) == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the mark is reset through /proc")
def test_the_own_mark_tells_a_peak_between_readings_and_can_be_reset():
    if not reset_own_peak():
        pytest.skip("this kernel does not reset the mark")
    before = own_peak_bytes()
    held = bytearray(b"x") * (64 * MIB)
    del held
    assert own_peak_bytes() >= before + 60 * MIB
    assert reset_own_peak()
    assert own_peak_bytes() < before + 30 * MIB


def test_agrees_with_psutil_on_this_process():
    full = psutil.Process().memory_full_info()
    held = tree_bytes(os.getpid())[os.getpid()]
    assert abs(held - getattr(full, "pss", full.rss)) < 16 * MIB
