"""Sound of joined files, judged from outside: packets and decoded clicks as PyAV reads them from source and result."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import lcm
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from av.packet import Packet
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from pipelines.spans import Span
from pipelines.video.join import join_segments
from pipelines.video.probe import probe
from pipelines.video.writer import VideoWriter

FRAMES = 12
SOUND_SECONDS = 6
CODECS = {  # Codec: ffmpeg encoder, sample rates.
    "aac": ("aac", (44100, 48000, 32000)),
    "opus": ("libopus", (48000,)),
    "mp3": ("libmp3lame", (44100, 48000, 24000)),
    "ac3": ("ac3", (44100, 48000)),
    "pcm": ("pcm_s16le", (8000, 22050, 48000)),
}
KINDS = [(codec, rate) for codec, (_, rates) in CODECS.items() for rate in rates]
RATES = st.one_of(
    st.sampled_from([Fraction(1, 10), *map(Fraction, (1, 2, 10, 15, 24, 25, 30, 50, 60, 240))]),
    st.sampled_from([Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)]),
    st.fractions(Fraction(1, 10), Fraction(240), max_denominator=1001),
)


@dataclass(frozen=True)
class Drawn:
    """A sound track: codec, sample rate, share of its packets, and samples by which it begins later."""

    kind: tuple[str, int]
    share: Fraction
    delay: int


TRACKS = st.lists(
    st.builds(
        Drawn,
        st.sampled_from(KINDS),
        st.fractions(Fraction(0), Fraction(1), max_denominator=64),
        st.one_of(st.just(0), st.integers(0, 40_000)),
    ),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., bytes]) -> Callable[..., Path]:
    """Segments of one frame each, by index, and six seconds of clicks, by codec and sample rate."""
    folder = tmp_path_factory.mktemp("material")

    @cache
    def make(name: object) -> Path:
        if isinstance(name, int):
            path = folder / f"{name}.mp4"
            with VideoWriter(path, 32, 32, Fraction(25)) as out:
                out.write(np.full((32, 32, 3), 20 * name, np.uint8))
            return path
        codec, rate = name
        path = folder / f"{codec}{rate}.mp4"
        clicks = f"aevalsrc=0.9*sin(2*PI*1000*t)*lt(mod(t+0.2\\,0.7)\\,0.02):d={SOUND_SECONDS}:s={rate}"
        ffmpeg("-f", "lavfi", "-i", clicks, "-c:a", CODECS[codec][0], path)
        return path

    return make


def make_source(path: Path, rate: Fraction, frames: int, tracks: list[Drawn], material) -> Path:
    """Mux `frames` one-frame segments at `rate` and the tracks, with clocks that hold every time exactly."""
    scales = [rate.numerator, *(track.kind[1] for track in tracks)]
    movie = lcm(*scales) if lcm(*scales) < 2**31 else 705_600_000
    options = {"video_track_timescale": str(rate.numerator), "movie_timescale": str(movie)}
    opened = [av.open(str(material(track.kind))) for track in tracks]
    packets: list[tuple[Fraction, Packet]] = []
    with av.open(str(path), "w", format="mp4", container_options=options) as target:
        first = av.open(str(material(0)))
        pictures = target.add_stream_from_template(first.streams.video[0], opaque=True)
        for index in range(frames):
            with av.open(str(material(index))) as segment:
                packet = next(packet for packet in segment.demux() if packet.size)
            packet.pts = packet.dts = index * rate.denominator
            packet.duration, packet.time_base, packet.stream = (
                rate.denominator,
                Fraction(1, rate.numerator),
                pictures,
            )
            packets.append((index / rate, packet))
        for track, source in zip(tracks, opened, strict=True):
            stream = target.add_stream_from_template(source.streams.audio[0], opaque=True)
            sound = [packet for packet in source.demux() if packet.size]
            for packet in sound[: max(1, round(len(sound) * track.share))]:
                packet.pts += track.delay
                packet.dts = packet.pts
                packet.stream = stream
                packets.append((packet.pts * packet.time_base, packet))
        for _, packet in sorted(packets, key=lambda timed: timed[0]):
            target.mux_one(packet)
    for source in (first, *opened):
        source.close()
    return path


def frame_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [packet.pts * packet.time_base for packet in container.demux(stream) if packet.size]


def sounds_of(path: Path) -> list[list[tuple[Fraction, Fraction, int]]]:
    """(start, end, bytes) of each packet of each sound track."""
    with av.open(str(path)) as container:
        found: list[list[tuple[Fraction, Fraction, int]]] = [[] for _ in container.streams.audio]
        of = {stream.index: number for number, stream in enumerate(container.streams.audio)}
        for packet in container.demux():
            if packet.size and packet.stream_index in of:
                begin = packet.pts * packet.time_base
                end = begin + packet.duration * packet.time_base
                found[of[packet.stream_index]].append((begin, end, packet.size))
    return found


def clicks_of(path: Path) -> list[list[Fraction]]:
    """Where the clicks of each track begin, in seconds, to a sample."""
    found = []
    with av.open(str(path)) as container:
        tracks = len(container.streams.audio)
    for number in range(tracks):
        with av.open(str(path)) as container:
            stream, times, last = container.streams.audio[number], [], Fraction(-1)
            for frame in container.decode(stream):
                samples = frame.to_ndarray()
                scale = 32768 if samples.dtype == np.int16 else 1
                for at in np.flatnonzero(np.abs(samples[0]) > 0.3 * scale):
                    time = frame.pts * frame.time_base + Fraction(int(at), frame.sample_rate)
                    if time - last > Fraction(1, 10):
                        times.append(time)
                    last = time
            found.append(times)
    return found


def check_packets(
    source: Path,
    result: Path,
    shift: Fraction,
    tracks: list[Drawn],
    stop: Fraction | None,
    *,
    from_its_beginning: bool = False,
) -> None:
    """Every packet that sounds from `shift` to `stop` is in the result, `shift` earlier, to a sample."""
    wanted = sounds_of(source)
    if stop is not None:
        wanted = [
            [packet for packet in track if (from_its_beginning or packet[1] > shift) and packet[0] < stop]
            for track in wanted
        ]
    # MP4 has no tracks without packets.
    heard = [(drawn, track) for drawn, track in zip(tracks, wanted, strict=True) if track]
    found = sounds_of(result)
    assert len(heard) == len(found)
    for (drawn, before), after in zip(heard, found, strict=True):
        if drawn.kind[0] == "pcm":
            assert sum(size for *_, size in after) == sum(size for *_, size in before)
            before, after = before[:1], after[:1]
        assert [size for *_, size in after] == [size for *_, size in before]
        if len(before) == 1 and before[0][0] < shift:
            continue  # FFmpeg reads the only packet of a track as beginning at 0, whatever its edit list cuts.
        for (was, *_), (now, *_) in zip(before, after, strict=True):
            assert abs(was - shift - now) <= Fraction(1, drawn.kind[1])


BOUNDED = settings(
    deadline=None,
    max_examples=30,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # Shrinking would make files for minutes.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@BOUNDED
@given(rate=RATES, frames=st.integers(1, FRAMES), tracks=TRACKS)
@example(rate=Fraction(25), frames=12, tracks=[Drawn(("aac", 48000), Fraction(3, 4), 13_392)])
@example(rate=Fraction(1, 10), frames=6, tracks=[Drawn(("aac", 44100), Fraction(59, 64), 0)])
@example(
    rate=Fraction(2),
    frames=10,
    tracks=[Drawn(("aac", 44100), Fraction(1), 100), Drawn(("opus", 48000), Fraction(1), 7)],
)
def test_a_whole_video_keeps_all_sound_where_it_is(rate, frames, tracks, material) -> None:
    with TemporaryDirectory() as folder:
        source = make_source(Path(folder) / "source.mp4", rate, frames, tracks, material)
        result, info = Path(folder) / "out.mp4", probe(source)
        report = join_segments([material(index) for index in range(frames)], info, Span(0, frames), result)
        assert not [warning for warning in report.warnings if "pcm" not in warning]
        shift = frame_times(source)[0] - frame_times(result)[0]
        assert [time + shift for time in frame_times(result)] == frame_times(source)
        check_packets(source, result, shift, tracks, None)
        for drawn, before, after in zip(tracks, clicks_of(source), clicks_of(result), strict=True):
            assert len(before) == len(after)
            for was, now in zip(before, after, strict=True):
                assert abs(was - shift - now) <= Fraction(1, drawn.kind[1])


@BOUNDED
@given(rate=RATES, data=st.data(), tracks=TRACKS)
def test_a_part_keeps_the_sound_of_its_frames(rate, data, tracks, material) -> None:
    start = data.draw(st.integers(0, FRAMES - 2))
    stop = data.draw(st.integers(start + 1, FRAMES - 1))
    with TemporaryDirectory() as folder:
        source = make_source(Path(folder) / "source.mp4", rate, FRAMES, tracks, material)
        result, info = Path(folder) / "out.mp4", probe(source)
        segments = [material(index) for index in range(start, stop)]
        join_segments(segments, info, Span(start, stop), result)
        times = frame_times(source)
        assert frame_times(result) == [time - times[start] for time in times[start:stop]]
        check_packets(source, result, times[start], tracks, times[stop])


@settings(BOUNDED, max_examples=10)
@given(rate=RATES, other_rate=RATES, frames=st.integers(1, FRAMES), tracks=TRACKS)
def test_the_sound_of_another_video_keeps_its_times(rate, other_rate, frames, tracks, material) -> None:
    with TemporaryDirectory() as folder:
        pictures = make_source(Path(folder) / "pictures.mp4", rate, frames, [], material)
        heard = make_source(Path(folder) / "heard.mp4", other_rate, FRAMES, tracks, material)
        result = Path(folder) / "out.mp4"
        segments = [material(index) for index in range(frames)]
        join_segments(segments, probe(pictures), Span(0, frames), result, heard=probe(heard))
        check_packets(heard, result, Fraction(0), tracks, frames / rate, from_its_beginning=True)
