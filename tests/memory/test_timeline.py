import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.timeline import PeakTimeline, Reading


def reading(number, host=0, available=100, device=0):
    return Reading(float(number), host, available, device)


def test_a_short_line_keeps_every_reading():
    line = PeakTimeline(capacity=4)
    readings = [reading(i, host=i) for i in range(4)]
    for each in readings:
        line.add(each)
    assert line.points() == tuple(readings)


def test_a_full_line_is_thinned_to_half_and_keeps_the_worst_of_each_pair():
    line = PeakTimeline(capacity=4)
    for i, host in enumerate([1, 9, 3, 2, 5, 7, 6]):
        line.add(reading(i, host, available=10 - i, device=host * 2))
    assert [(p.seconds, p.host_bytes, p.host_available_bytes, p.device_bytes) for p in line.points()] == [
        (0.0, 9, 9, 18),
        (2.0, 3, 7, 6),
        (4.0, 7, 5, 14),
        (6.0, 6, 4, 12),
    ]


@given(hosts=st.lists(st.integers(0, 10**6), max_size=400), capacity=st.integers(2, 9))
def test_however_long_the_line_is_bounded_and_loses_no_peak(hosts, capacity):
    line = PeakTimeline(capacity)
    for i, host in enumerate(hosts):
        line.add(reading(i, host, available=10**6 - host))
    points = line.points()
    assert len(points) <= capacity
    assert max((p.host_bytes for p in points), default=None) == max(hosts, default=None)
    assert min((p.host_available_bytes for p in points), default=0) == 10**6 - max(hosts, default=10**6)
    times = [p.seconds for p in points]
    assert times == sorted(set(times))
    if hosts:
        assert times[0] == 0.0


def test_the_default_holds_a_thousand_points():
    line = PeakTimeline()
    for i in range(5000):
        line.add(reading(i))
    assert 500 <= len(line.points()) <= 1000


def test_as_csv(tmp_path):
    line = PeakTimeline()
    line.add(Reading(0.25, 100, 50, 7))
    line.add(Reading(1 / 3, 200, 40, 8))
    line.write_csv(tmp_path / "memory.csv")
    assert (tmp_path / "memory.csv").read_bytes() == (
        b"seconds,host_bytes,host_available_bytes,device_bytes\n0.250,100,50,7\n0.333,200,40,8\n"
    )


def test_needs_room_for_a_pair():
    with pytest.raises(ValueError, match="2 points"):
        PeakTimeline(1)
