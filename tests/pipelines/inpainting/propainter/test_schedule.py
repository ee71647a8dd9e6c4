"""The order of work: chunks and windows as they are published, and what may be let go of when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inpainting.propainter.schedule import Chunk, Schedule, Window
from pipelines.spans import Span

SCHEDULES = st.builds(
    Schedule,
    frames=st.integers(1, 400),
    subvideo_length=st.integers(2, 130),
    neighbor_length=st.integers(2, 21),
    ref_stride=st.integers(1, 25),
)


def test_chunks_of_flows_begin_at_multiples_and_look_five_further():
    schedule = Schedule(182)
    assert schedule.flow_chunk(0) == Chunk(Span(0, 80), Span(0, 85))
    assert schedule.flow_chunk(1) == Chunk(Span(80, 160), Span(75, 165))
    assert schedule.flow_chunk(2) == Chunk(Span(160, 181), Span(155, 181))
    assert schedule.flow_chunk(3) is None


def test_chunks_of_images_are_no_longer_than_100_frames_and_look_ten_further():
    schedule = Schedule(250, subvideo_length=200)
    assert schedule.image_chunk(0) == Chunk(Span(0, 100), Span(0, 110))
    assert schedule.image_chunk(2) == Chunk(Span(200, 250), Span(190, 250))
    assert Schedule(250).image_chunk(1) == Chunk(Span(80, 160), Span(70, 170))


@pytest.mark.parametrize(
    "frames, flow_chunks, image_chunks, is_long",
    [(12, 1, 1, False), (13, 1, 2, True), (14, 2, 2, True), (1, 0, 1, False), (2, 1, 1, False)],
)
def test_around_the_length_of_a_chunk(frames, flow_chunks, image_chunks, is_long):
    schedule = Schedule(frames, 12, 6, 3)
    assert sum(schedule.flow_chunk(k) is not None for k in range(5)) == flow_chunks
    assert sum(schedule.image_chunk(k) is not None for k in range(5)) == image_chunks
    assert schedule.is_long == is_long


def test_a_short_videos_references_are_the_same_for_all_windows():
    schedule = Schedule(43)
    assert schedule.window(0) == Window(Span(0, 6), (10, 20, 30, 40))
    assert schedule.window(15) == Window(Span(10, 21), (0, 30, 40))
    assert schedule.window(40) == Window(Span(35, 43), (0, 10, 20, 30))


def test_a_long_videos_references_lie_on_the_windows_own_grid_whose_end_is_excluded():
    schedule = Schedule(300)
    assert schedule.window(0) == Window(Span(0, 6), (10, 20, 30))
    assert schedule.window(25).references == (0, 10, 40, 50, 60)
    assert schedule.window(105) == Window(Span(100, 111), (65, 75, 85, 95, 115, 125, 135))
    assert schedule.window(295).references == (255, 265, 275, 285)
    assert schedule.window(105).flows == Span(100, 110)


def test_short_subvideos_have_no_references():
    assert Schedule(100, subvideo_length=19).window(50).references == ()


@pytest.mark.parametrize(
    "span, windows", [((0, 300), (0, 295)), ((100, 101), (95, 105)), ((103, 104), (100, 105))]
)
def test_a_span_is_painted_by_the_windows_that_touch_it(span, windows):
    found = Schedule(300).windows(Span(*span))
    assert (found[0], found[-1]) == windows


@given(SCHEDULES, st.data())
def test_no_later_window_looks_at_what_was_let_go(schedule, data):
    middles = range(0, schedule.frames, schedule.step)
    middle = data.draw(st.sampled_from(middles))
    later = [schedule.window(f) for f in middles if f >= middle]
    assert min(min(window.frames) for window in later) >= schedule.oldest(middle)


@given(SCHEDULES, st.data())
def test_a_span_begins_where_all_that_it_asks_for_can_be_computed(schedule, data):
    start = data.draw(st.integers(0, schedule.frames - 1))
    begin = schedule.begin(Span(start, start + 1))
    oldest = schedule.oldest(schedule.windows(Span(start, start + 1)).start)
    images = schedule.image_chunk(begin.image_chunk)
    assert images.kept.start <= oldest
    if flows := schedule.flow_chunk(begin.flow_chunk):
        assert flows.kept.start <= images.read.start
        assert begin.frame == flows.read.start
    assert begin.frame <= images.read.start


@given(SCHEDULES, st.data())
def test_flows_are_needed_where_a_window_that_uses_them_has_a_hole(schedule, data):
    start = data.draw(st.integers(0, max(0, schedule.flows - 1)))
    flows = Span(start, data.draw(st.integers(start + 1, start + 140)))
    windows = [schedule.window(middle).local for middle in range(0, schedule.frames, schedule.step)]
    used = [near for near in windows if near.start < flows.stop and flows.start < near.stop - 1]
    if used:
        assert schedule.near(flows) == Span(used[0].start, used[-1].stop)


@given(SCHEDULES, st.data())
def test_what_is_used_again_is_known(schedule, data):
    middles = range(0, schedule.frames, schedule.step)
    middle = data.draw(st.sampled_from(middles))
    seen = {i for f in middles if f <= middle for i in schedule.window(f).frames}
    later = {i for f in middles if f > middle for i in schedule.window(f).frames}
    assert seen & later == seen & set(schedule.uses_after(middle))


def test_how_much_is_kept_of_what_was_encoded():
    assert Schedule(10_000).most_reused == 18
    assert Schedule(10_000).longest_window == 18
    assert Schedule(60).longest_window == 16


@pytest.mark.parametrize("sizes", [(0,), (5, 0), (5, 80, 1), (5, 80, 10, 0)])
def test_nothing_can_be_scheduled_without_sizes(sizes):
    with pytest.raises(ValueError, match="nothing can be scheduled"):
        Schedule(*sizes)
