"""The chain against the published inference over whole videos, with networks that are exact to the index."""

from collections.abc import Callable

import numpy as np
import pytest

from memory.ladder import Effort, Ladder, Step, standard_rungs
from pipelines.inpainting.propainter.schedule import Schedule
from pipelines.inpainting.propainter.streaming import Painted, Recipe
from pipelines.spans import Span

from .fakes import HEIGHT, WIDTH, chain_over, clip, networks, streamed, whole

SHAPES = [(12, 6, 3), (10, 4, 5), (7, 5, 2), (4, 2, 3), (80, 10, 10)]


def plan_of(
    frames: int, shape: tuple[int, int, int] = (12, 6, 3), block: int = 1, capacity: int = 64
) -> Recipe:
    return Recipe(Schedule(frames, *shape), 7, block, capacity)


def pictures(painted: list[Painted]) -> np.ndarray:
    return np.stack([each.after for each in painted])


def same(painted: list[Painted], other: list[Painted]) -> bool:
    return all(
        np.array_equal(a.after, b.after) and np.array_equal(a.invented, b.invented)
        for a, b in zip(painted, other, strict=True)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_the_chain_gives_what_the_whole_video_gives(shape):
    frames, masks = clip(40)
    plan = plan_of(40, shape)
    painted = streamed(frames, masks, plan)
    expected, unknown = whole(frames, masks, plan)
    assert np.array_equal(pictures(painted), expected)
    assert np.array_equal(np.stack([each.invented for each in painted]), unknown)
    assert not np.array_equal(pictures(painted), frames)


@pytest.mark.parametrize("frames", [1, 2, 3, 11, 12, 13, 14, 24, 25, 26])
def test_videos_about_as_long_as_a_chunk(frames):
    given, masks = clip(frames, seed=frames)
    plan = plan_of(frames)
    assert np.array_equal(pictures(streamed(given, masks, plan)), whole(given, masks, plan)[0])


def test_chunks_of_images_are_cut_at_100_frames():
    given, masks = clip(150)
    plan = plan_of(150, (110, 10, 10))
    assert np.array_equal(pictures(streamed(given, masks, plan)), whole(given, masks, plan)[0])


HOLES: dict[str, Callable[[int], bool]] = {
    "now and then": lambda i: i % 9 < 2,
    "in the middle": lambda i: 30 <= i < 33,
    "at the end of a chunk": lambda i: i in (23, 24),
    "at both ends": lambda i: i in (0, 59),
    "in all frames": lambda i: True,
}


@pytest.mark.parametrize("holes", HOLES.values(), ids=HOLES)
def test_frames_without_holes_change_nothing(holes):
    given, masks = clip(60, holes=holes)
    plan = plan_of(60)
    painted = pictures(streamed(given, masks, plan))
    assert np.array_equal(painted, whole(given, masks, plan)[0])
    assert np.array_equal(painted[~masks], given[~masks])


@pytest.mark.parametrize("holes", HOLES.values(), ids=HOLES)
@pytest.mark.parametrize("block", [1, 4])
def test_any_span_on_its_own_is_what_the_whole_run_gives(holes, block):
    given, masks = clip(60, holes=holes)
    plan = plan_of(60, block=block)
    painted = streamed(given, masks, plan)
    for span in (Span(0, 1), Span(13, 14), Span(17, 41), Span(36, 60), Span(59, 60)):
        assert same(streamed(given, masks, plan, span), painted[span.start : span.stop])


def test_flows_are_estimated_in_the_same_company_wherever_a_span_starts(monkeypatch):
    given, masks = clip(60)

    def companies(span: Span) -> set[tuple[float, ...]]:
        nets, seen = networks(), set[tuple[float, ...]]()
        flows = nets.raft.flows

        def look(here, *others, **more):
            seen.add(tuple(here.net.tolist()))
            return flows(here, *others, **more)

        monkeypatch.setattr(nets.raft, "flows", look)
        streamed(given, masks, plan_of(60, block=4), span, nets=nets)
        return seen

    assert companies(Span(50, 60)) <= companies(Span(0, 60))


def test_what_is_unknown_of_flows_may_be_more_than_what_is_filled():
    given, masks = clip(30)
    flow_mask = np.ones((HEIGHT, WIDTH), np.bool_)
    flow_mask[4:-4, 4:-4] = False
    plan = plan_of(30)
    painted = pictures(streamed(given, masks, plan, flow_mask=flow_mask))
    assert np.array_equal(painted, whole(given, masks, plan, flow_mask)[0])
    assert not np.array_equal(painted, pictures(streamed(given, masks, plan)))


@pytest.mark.parametrize("capacity", [0, 3, 64])
def test_how_many_encoded_frames_are_kept_changes_no_byte(capacity):
    given, masks = clip(30)
    painted = streamed(given, masks, plan_of(30, capacity=capacity))
    assert same(painted, streamed(given, masks, plan_of(30)))


def most_held(frames: int, shape: tuple[int, int, int]) -> dict[str, int]:
    """The most that each station held at any window."""
    chain = chain_over(*clip(frames), plan_of(frames, shape))
    stations = {
        "frames": chain.cache,
        "links": chain.completion,
        "updates": chain.propagation,
        "encoded": chain.painter,
        "blended": chain.blended,
        "raw flows": chain.estimator,
    }
    most = dict.fromkeys(stations, 0)

    def look(middle: int) -> None:
        for name, station in stations.items():
            most[name] = max(most[name], len(station))

    assert len(list(chain.frames(look))) == frames
    return most


def test_what_is_held_does_not_grow_and_is_no_more_than_the_schedule_asks_for():
    length, neighbours, stride = shape = (12, 6, 3)
    step, reach = neighbours // 2, stride * (length // stride // 2)
    held, longer = most_held(50, shape), most_held(500, shape)
    assert held == longer
    wide = max(step, reach - stride)
    assert held["frames"] <= 2 * length + 6 + wide + step + max(step, reach)
    assert held["links"] <= 2 * length + max(wide + step, 10)
    assert held["updates"] <= length + wide + max(step, reach)
    assert held["encoded"] <= Schedule(500, *shape).most_reused
    assert held["blended"] <= 2 * step + 1
    assert held["raw flows"] <= 10


def test_nothing_is_computed_where_nothing_is_to_be_filled():
    given, masks = clip(200, holes=lambda i: i in (100, 101))
    nets = networks()
    painted = streamed(given, masks, plan_of(200), nets=nets)
    assert nets.raft.pairs == 22  # One chunk of 12 flows, with 5 more on either side.
    assert nets.generator("float32").windows == 2
    assert not np.array_equal(painted[100].after, given[100])


def test_each_frame_is_looked_at_once_for_flows_and_once_for_painting():
    given, masks = clip(60)
    nets = networks()
    chain = chain_over(given, masks, plan_of(60, block=5), nets=nets)
    assert len(list(chain.frames())) == 60
    assert (nets.raft.frames, nets.raft.pairs) == (60, 59)
    assert chain.painter.encodings == 60


class Forgetful:
    """Runs out of memory now and then: every `every`th time."""

    def __init__(self, every: int) -> None:
        self.every, self.calls = every, 0

    def __call__(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **more: object) -> object:
            self.calls += 1
            if self.calls % self.every == 0:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return function(*given, **more)

        return call


def test_when_memory_ends_the_same_is_computed_again_and_nothing_else(monkeypatch):
    given, masks = clip(40)
    nets, steps = networks(), []
    failing = Forgetful(7)
    for network, name in ((nets.raft, "flows"), (nets.generator("float32"), "paint")):
        monkeypatch.setattr(network, name, failing(getattr(network, name)))
    completion = nets.completion("float32")
    monkeypatch.setattr(completion, "complete", Forgetful(2)(completion.complete))
    rungs = standard_rungs(min_window=1, drop_idle=nets.leave_alone)
    ladder = Ladder(Effort(1, 4), rungs, on_step=steps.append, free=lambda: None, quiet_windows=10**6)
    painted = streamed(given, masks, plan_of(40, block=4), nets=nets, ladder=ladder)
    assert same(painted, streamed(given, masks, plan_of(40, block=4)))
    assert failing.calls == 27
    assert {step.rung for step in steps} == {"retry"}


def test_blocks_are_computed_in_parts_where_they_do_not_fit(monkeypatch):
    given, masks = clip(30)
    nets, steps = networks(), list[Step]()
    flows = nets.raft.flows

    def small(here, there, iterations, *, on_demand):
        if len(here) > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return flows(here, there, iterations, on_demand=on_demand)

    monkeypatch.setattr(nets.raft, "flows", small)
    rungs = standard_rungs(min_window=1)
    ladder = Ladder(Effort(1, 4), rungs, on_step=steps.append, free=lambda: None, quiet_windows=10**6)
    painted = streamed(given, masks, plan_of(30, block=4), nets=nets, ladder=ladder)
    assert same(painted, streamed(given, masks, plan_of(30)))
    assert [step.rung for step in steps] == ["retry", "halve batch", "halve batch"]


def test_closing_releases_the_decoder_and_the_frames():
    frames, masks = clip(30)
    closed = []

    def read(start, stop):
        try:
            yield from zip(frames[start:stop], masks[start:stop], strict=True)
        finally:
            closed.append(True)

    chain = chain_over(frames, masks, plan_of(30), read=read)
    painted = chain.frames()
    next(painted)
    assert len(chain.cache) > 0
    painted.close()
    assert closed == [True]
    assert len(chain.cache) == 0


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_no_more_is_read_beside_a_span_than_the_schedule_says(shape):
    frames, masks = clip(90)
    plan, beside = plan_of(90, shape), []

    def read(start, stop):
        for index in range(start, stop):
            seen.add(index)
            yield frames[index], masks[index]

    for start in range(30, 50):
        seen: set[int] = set()
        list(chain_over(frames, masks, plan, Span(start, start + 1), read=read).frames())
        beside.append(len(seen) - 1)
    assert plan.schedule.halo / 2 < max(beside) <= plan.schedule.halo


def test_a_run_can_be_stopped_long_before_its_first_frame():
    class Stop(Exception):
        pass

    nets = networks()

    def look() -> None:
        if nets.raft.pairs == 5:
            raise Stop

    with pytest.raises(Stop):
        next(chain_over(*clip(40), plan_of(40), nets=nets, look=look).frames())
    assert nets.raft.pairs == 5
