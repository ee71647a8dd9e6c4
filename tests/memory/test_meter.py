import logging
import subprocess
import sys
import threading
from itertools import chain, repeat

import pytest

from memory import meter as module
from memory.meter import LimitWatch, Meter, Reading, tree_bytes
from memory.units import GIB, MIB

HOLD = """
import sys
held = bytearray(b"x") * int(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]], stdin=sys.stdin, stdout=sys.stdout)
child.wait()
"""


def readings(*hosts, device=0):
    """A reader that gives these host bytes, then says that the process is gone."""
    each = iter([Reading(float(i), host, 8 * GIB - host, device) for i, host in enumerate(hosts)])
    return lambda: next(each, None)


@pytest.fixture
def holder():
    """Start a process (with a child of its own where asked) that holds memory until its stdin closes."""
    started = []

    def start(size_bytes, in_child=False):
        script = [PARENT, str(size_bytes), HOLD] if in_child else [HOLD, str(size_bytes)]
        process = subprocess.Popen(
            [sys.executable, "-c", *script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.communicate()


class TestTree:
    def test_sees_what_a_process_holds(self, holder):
        process = holder(80 * MIB)
        assert 80 * MIB <= sum(tree_bytes(process.pid).values()) < 130 * MIB

    def test_sees_what_its_children_hold(self, holder):
        process = holder(80 * MIB, in_child=True)
        sizes = tree_bytes(process.pid)
        assert len(sizes) == 2
        assert sizes.pop(process.pid) < 60 * MIB
        assert sum(sizes.values()) >= 80 * MIB

    def test_a_process_that_is_gone_holds_nothing(self, holder):
        process = holder(MIB)
        process.communicate()
        assert tree_bytes(process.pid) == {}


class TestMeter:
    def test_iterated_it_yields_each_reading_until_the_process_is_gone(self):
        meter = Meter(read=readings(1, 5, 3), interval_seconds=0)
        assert [each.host_bytes for each in meter] == [1, 5, 3]
        assert meter.peak == Reading(0.0, 5, 8 * GIB - 5, 0)
        assert meter.latest.host_bytes == 3
        assert [point.host_bytes for point in meter.timeline.points()] == [1, 5, 3]

    def test_iterated_it_ends_when_stopped(self):
        meter = Meter(read=readings(*range(10)), interval_seconds=0)
        seen = []
        for each in meter:
            seen.append(each.host_bytes)
            if len(seen) == 3:
                meter.stop()
        assert seen == [0, 1, 2]

    def test_as_a_context_it_samples_in_its_own_thread(self):
        enough, threads = threading.Event(), set()

        def on_reading(reading):
            threads.add(threading.current_thread().name)
            if reading.host_bytes == 4:
                enough.set()

        with Meter(read=readings(*range(6)), interval_seconds=0, on_reading=on_reading) as meter:
            assert meter.timeline.points()[0].host_bytes == 0  # the baseline is there at once
            assert enough.wait(100)
        assert "memory-meter" in threads
        assert meter.peak.host_bytes >= 4
        assert not any(thread.name == "memory-meter" for thread in threading.enumerate())

    def test_takes_a_last_reading_when_it_ends(self):
        with Meter(read=readings(1, 2), interval_seconds=3600) as meter:
            pass
        assert [point.host_bytes for point in meter.timeline.points()] == [1, 2]

    def test_a_listener_that_fails_does_not_end_the_watch(self, caplog):
        stopped = threading.Event()

        def fails(reading):
            raise KeyError("listener")

        meter = Meter(read=readings(*repeat(GIB, 50)), interval_seconds=0, on_reading=fails)
        meter.watch(GIB, lambda level, reading: level == "hard" and stopped.set())
        with caplog.at_level(logging.ERROR), meter:
            assert stopped.wait(100)
        assert "listener" in caplog.text

    def test_a_reading_that_fails_does_not_end_the_watch(self, caplog):
        stopped, sizes = threading.Event(), chain([0, None, None], repeat(GIB))

        def read():
            if (size := next(sizes)) is None:
                raise AttributeError("half loaded")
            return Reading(0.0, size, 0, 0)

        meter = Meter(read=read, interval_seconds=0)
        meter.watch(GIB, lambda level, reading: level == "hard" and stopped.set())
        with caplog.at_level(logging.ERROR), meter:
            assert stopped.wait(100)
        assert caplog.text.count("memory could not be read") == 1

    def test_reads_this_process_and_this_machine(self):
        with Meter(interval_seconds=3600) as meter:
            held = bytearray(b"x") * (64 * MIB)
        first, last = meter.timeline.points()
        assert last.host_bytes - first.host_bytes >= 60 * MIB
        assert last.host_available_bytes > 0
        assert last.seconds > first.seconds
        assert last.device_bytes == 0
        assert len(held) == 64 * MIB

    def test_reads_the_devices_of_the_tree(self, holder, monkeypatch):
        asked = []
        monkeypatch.setattr(module, "device_reader", lambda: lambda pids: asked.append(set(pids)) or 5)
        process = holder(MIB, in_child=True)
        meter = Meter(process.pid)
        assert meter.sample().device_bytes == 5
        assert asked == [set(tree_bytes(process.pid))]
        process.communicate()
        assert meter.sample() is None


class TestWatch:
    def levels(self, *hosts, limit=1000):
        heard = []
        listener = LimitWatch(limit, lambda level, reading: heard.append((level, reading.host_bytes)))
        for host in hosts:
            listener(Reading(0, host, 0, 0))
        return heard

    def test_below_ninety_percent_nothing_is_said(self):
        assert self.levels(0, 500, 899) == []

    def test_soft_at_ninety_hard_at_ninety_seven(self):
        assert self.levels(900, 969, 970, 1200) == [("soft", 900), ("hard", 970)]

    def test_a_jump_says_both(self):
        assert self.levels(1000) == [("soft", 1000), ("hard", 1000)]

    def test_says_it_again_after_the_level_was_left(self):
        assert self.levels(950, 800, 940, 980, 960, 990) == [
            ("soft", 950),
            ("soft", 940),
            ("hard", 980),
            ("hard", 990),
        ]

    def test_what_others_hold_counts_against_who_has_more_than_its_share(self):
        heard, held = [], [0, 500, 395, 480, 480]
        listener = LimitWatch(1000, lambda level, reading: heard.append(level), lambda: (held.pop(0), 500))
        for own in (899, 480, 510, 500, 501):
            listener(Reading(0, own, 0, 0))
        assert heard == ["soft", "soft", "hard"]

    def test_a_limit_must_be_positive(self):
        with pytest.raises(ValueError, match="positive"):
            LimitWatch(0, lambda level, reading: None)

    def test_a_real_process_is_stopped_before_it_passes_its_limit(self):
        """A process grows by small steps without end; the handler ends it, and no reading is above the limit."""
        script = "held = []\nwhile True: held.append(bytearray(b'x') * (1 << 20)); print(flush=True); input()"
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        process.stdout.readline()  # Before it is another program, it holds what this one holds.
        meter = Meter(process.pid, interval_seconds=0)
        limit = 64 * MIB
        meter.watch(limit, lambda level, reading: level == "hard" and process.kill())
        try:
            for _ in meter:
                if process.poll() is None:
                    try:
                        process.stdin.write("\n")
                        process.stdin.flush()
                        process.stdout.readline()  # It has taken one step, no more.
                    except BrokenPipeError:
                        break
        finally:
            process.kill()
            process.wait()
        assert 0.97 * limit <= meter.peak.host_bytes <= limit


class TestConfirmed:
    """Estimates between readings of PSS may be too high: what comes close to a limit is read exactly first."""

    def meter(self, estimates, exact):
        asked, exact = [], iter(exact)

        def read_exactly():
            asked.append(True)
            return Reading(0.0, next(exact), 0, 0)

        heard = []
        meter = Meter(read=readings(*estimates), read_exactly=read_exactly)
        meter.watch(1000, lambda level, reading: heard.append((level, reading.host_bytes)))
        for _ in estimates:
            meter.sample()
        return meter, heard, len(asked)

    def test_an_estimate_above_the_limit_ends_nothing(self):
        meter, heard, asked = self.meter([500, 1200, 600], [700])
        assert (heard, asked) == ([], 1)
        assert meter.peak.host_bytes == 700
        assert [point.host_bytes for point in meter.timeline.points()] == [500, 700, 600]

    def test_what_is_so_is_reported_once(self):
        _, heard, asked = self.meter([950, 955, 960], [940])
        assert (heard, asked) == ([("soft", 940)], 1)

    def test_far_from_the_limit_nothing_is_read_twice(self):
        assert self.meter([100, 899], [])[1:] == ([], 0)
