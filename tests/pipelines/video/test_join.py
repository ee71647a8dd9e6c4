"""Segments joined: every frame at the source's time, the source's sound packet by packet."""

import errno
import os
import subprocess
import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import av.error
import numpy as np
import pytest

from pipelines.errors import EncoderDied, NotEnoughDisk
from pipelines.spans import Span, split
from pipelines.video import join
from pipelines.video.info import VideoInfo
from pipelines.video.join import JoinReport, join_segments
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from pipelines.video.tracks import extras, sound
from pipelines.video.tracks.join_clock import JoinClock
from pipelines.video.tracks.sound import SoundRefused
from pipelines.video.writer import VideoWriter

Clips = Callable[[str], Path]
Sound = list[tuple[Fraction, int]]


def segments_of(info: VideoInfo, frames: Span, folder: Path, length: int = 40) -> list[Path]:
    paths = []
    for span in split(frames, length):
        paths.append(folder / f"{span.name}.mp4")
        with VideoWriter(
            paths[-1], info.width, info.height, info.frame_rate, colour=info.output_colour
        ) as out:
            for frame in read_frames(info, span.start, span.stop, salvage=info.salvaged):
                out.write(frame.rgb())
    return paths


def copy(
    source: Path, out: Path, frames: Span | None = None, *, salvage: bool = False
) -> tuple[VideoInfo, JoinReport]:
    info = probe(source, salvage=salvage)
    frames = frames or Span(0, info.frames)
    return info, join_segments(segments_of(info, frames, out.parent), info, frames, out)


def sound_of(path: Path) -> Sound:
    with av.open(f"file:{path}") as container:
        stream = container.streams.audio[0]
        return [
            (packet.pts * packet.time_base, packet.size) for packet in container.demux(stream) if packet.size
        ]


def close(found: Sound, wanted: Sound, seconds: float = 0.001) -> bool:
    """Whether packets are the same ones, at the same times up to a container's clock."""
    if [size for _, size in found] != [size for _, size in wanted]:
        return False
    return all(abs(a - b) <= seconds for (a, _), (b, _) in zip(found, wanted, strict=True))


@pytest.fixture(scope="module")
def with_sound(clips: Clips, ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The closed clip with a tone in any codec and container."""
    folder = tmp_path_factory.mktemp("sound")

    def make(codec: str, suffix: str = ".mkv", *options: str) -> Path:
        path = folder / f"{codec}{len(options)}{suffix}"
        tone = ("-f", "lavfi", "-i", "sine=440:d=3.84")
        ffmpeg("-i", clips("closed.mp4"), *tone, "-c:v", "copy", "-c:a", codec, *options, path)
        return path

    return make


@pytest.mark.parametrize(
    "name",
    [
        "closed.mp4",
        "ntsc.mp4",
        "ntsc.mkv",
        "vfr.mp4",
        "vfr.mkv",
        "delayed.mp4",
        "edit_list.mp4",
        "bframes.avi",
        "raw.h264",
        "one.mp4",
    ],
)
def test_each_frame_is_shown_at_its_time(name: str, clips: Clips, tmp_path: Path, number_of) -> None:
    out = tmp_path / "result.part.mp4"
    source, report = copy(clips(name), out)
    joined = probe(out)
    assert report.frames == joined.frames == source.frames
    assert joined.timeline.vfr == source.timeline.vfr
    assert joined.frame_rate == source.frame_rate
    begin = -source.timeline.start  # The result begins at 0.
    for before, after in zip(read_frames(source), read_frames(joined), strict=True):
        assert before.time + begin == after.time
        assert number_of(before.rgb()) == number_of(after.rgb())


@pytest.mark.parametrize(("name", "turned"), [("rotated_90.mp4", (96, 160)), ("mirrored.mp4", (160, 96))])
def test_frames_are_upright_and_stay_so(name, turned, clips: Clips, tmp_path: Path) -> None:
    source, _ = copy(clips(name), tmp_path / "out.mp4")
    joined = probe(tmp_path / "out.mp4")
    assert (joined.rotation, joined.mirrored, (joined.width, joined.height)) == (0, False, turned)
    first, copied = (next(read_frames(info)).rgb().astype(int) for info in (source, joined))
    assert np.abs(first - copied).mean() < 3


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "libopus", "flac", "ac3"])
def test_sound_is_copied_packet_by_packet(codec: str, with_sound, tmp_path: Path) -> None:
    source = with_sound(codec)
    _, report = copy(source, tmp_path / "out.mp4")
    assert report.warnings == ()
    assert close(sound_of(tmp_path / "out.mp4"), sound_of(source))
    assert report.audio_packets == len(sound_of(source)) > 50


def test_sound_of_mp4_keeps_its_very_times(with_sound, tmp_path: Path) -> None:
    source = with_sound("aac", ".mp4")
    copy(source, tmp_path / "out.mp4")
    assert sound_of(tmp_path / "out.mp4") == sound_of(source)
    assert sound_of(source)[0][0] < 0  # The encoder's run-in, which players skip.


@pytest.mark.parametrize("frames", [Span(0, 51), Span(10, 51)])
def test_the_sound_of_another_video_ends_with_the_pictures(frames: Span, with_sound, clips, tmp_path) -> None:
    info, heard = probe(clips("ntsc.mp4")), probe(with_sound("aac", ".mp4"))
    out = tmp_path / "out.mp4"
    join_segments(segments_of(info, frames, tmp_path), info, frames, out, heard=heard)
    found = sound_of(out)
    packet, late = Fraction(1024, 44100), frames.start / info.frame_rate
    # Whole packets, from where the range begins to where its last frame ends.
    assert found[-1][0] < len(frames) / info.frame_rate <= found[-1][0] + 2 * packet
    run_in = packet if frames.start == 0 else 0  # Players skip it.
    wanted = [(time, size) for time, size in sound_of(heard.path) if time + packet + run_in > late]
    assert close([(time + late, size) for time, size in found], wanted[: len(found)])


@pytest.mark.parametrize("codec", ["pcm_s16le", "libvorbis"])
def test_sound_that_few_play_is_copied_and_named(codec: str, with_sound, tmp_path: Path) -> None:
    source = with_sound(codec)
    _, report = copy(source, tmp_path / "out.mp4")
    assert sum(size for _, size in sound_of(tmp_path / "out.mp4")) == sum(
        size for _, size in sound_of(source)
    )
    assert len(report.warnings) == 1 and codec.removeprefix("lib") in report.warnings[0]


def test_sound_that_mp4_refuses_is_encoded_again(with_sound, tmp_path: Path) -> None:
    source = with_sound("wmav2")
    _, report = copy(source, tmp_path / "out.mp4")
    assert len(report.warnings) == 1 and "wmav2" in report.warnings[0]
    joined = probe(tmp_path / "out.mp4")
    assert joined.audio is not None and joined.audio.codec == "aac"
    packets = sound_of(tmp_path / "out.mp4")
    assert abs(packets[-1][0] - sound_of(source)[-1][0]) < 0.1
    assert not list(tmp_path.glob("*.m4a"))


@pytest.mark.parametrize("codec", ["pcm_s16le", "libvorbis"])
def test_matroska_takes_more_kinds_of_sound(codec: str, with_sound, tmp_path: Path) -> None:
    source, out = with_sound(codec), tmp_path / "out.part.mkv"
    _, report = copy(source, out)
    assert report.warnings == ()
    assert close(sound_of(out), sound_of(source))


def test_sound_that_cannot_be_had_is_left_out_and_named(with_sound, tmp_path: Path, monkeypatch) -> None:
    def refuses(*_: object) -> None:
        raise sound.SoundRefused("no decoder for it")

    monkeypatch.setattr(sound, "encode", refuses)
    _, report = copy(with_sound("wmav2"), tmp_path / "out.mp4")
    assert report.audio_packets == 0 and "left out" in report.warnings[0]
    assert probe(tmp_path / "out.mp4").frames == 96


def test_lost_sound_packets_are_found(with_sound, tmp_path: Path, monkeypatch) -> None:
    keeps = sound.iter_packets

    def loses(*arguments):
        for number, item in enumerate(keeps(*arguments)):
            if number != 7:
                yield item

    monkeypatch.setattr(sound, "iter_packets", loses)
    _, report = copy(with_sound("aac", ".mp4"), tmp_path / "out.mp4")
    assert "packets were written" in report.warnings[0]


def test_two_sound_tracks(clips: Clips, ffmpeg, tmp_path: Path) -> None:
    source, out = tmp_path / "two.mp4", tmp_path / "out.mp4"
    tones = [part for tone in (440, 880) for part in ("-f", "lavfi", "-i", f"sine={tone}:d=3.84")]
    ffmpeg(
        "-i",
        clips("closed.mp4"),
        *tones,
        "-map",
        "0",
        "-map",
        "1",
        "-map",
        "2",
        "-c:v",
        "copy",
        "-c:a",
        "aac",
        source,
    )
    copy(source, out)
    with av.open(str(out)) as joined:
        assert len(joined.streams.audio) == 2


def test_a_broadcast_stream_keeps_its_sound_in_step(with_sound, tmp_path: Path) -> None:
    source = with_sound("aac", ".ts")
    info, report = copy(source, tmp_path / "out.mp4")
    clock = info.timeline.origin
    found, wanted = sound_of(tmp_path / "out.mp4"), sound_of(source)
    assert len(found) == len(wanted) == report.audio_packets
    assert all(abs(a - (b - clock)) < 0.001 for (a, _), (b, _) in zip(found, wanted, strict=True))


@pytest.fixture(scope="module")
def parts(ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Two seconds of a broadcast stream with a tone, whose clock begins at `start`."""
    folder = tmp_path_factory.mktemp("parts")

    def make(tone: int, start: int = 0, seconds: float = 2, codec: str = "aac") -> Path:
        path = folder / f"{tone}.{start}.{seconds}.{codec}.{'m2ts' if codec == 'pcm_bluray' else 'ts'}"
        pictures = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2")
        sounds = ("-f", "lavfi", "-i", f"sine={tone}:d={seconds}:r=48000")
        encoders = ("-c:v", "libx264", "-c:a", codec, "-ac", "2")
        ffmpeg(*pictures, *sounds, *encoders, "-output_ts_offset", start, path)
        return path

    return make


def tone_changes(path: Path) -> list[tuple[float, int]]:
    """(seconds, hertz) where another tone begins, by the loudest frequency of each twentieth of a second."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    rate, begin = frames[0].sample_rate, float(frames[0].pts * frames[0].time_base)
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    found: list[tuple[float, int]] = []
    length = rate // 20
    for at in range(0, len(samples) - length, length):
        hertz = int(np.argmax(np.abs(np.fft.rfft(samples[at : at + length]))) * 20)
        if not found or found[-1][1] != hertz:
            found.append((begin + at / rate, hertz))
    return found


@pytest.mark.parametrize("starts", [(0, 0), (100, 0), (0, 100), (0, 0, 0)])
def test_a_clock_that_restarts_goes_on(starts, parts, tmp_path: Path) -> None:
    joined, out = tmp_path / "cat.ts", tmp_path / "out.mp4"
    pieces = [parts(440 * (number + 1), start) for number, start in enumerate(starts)]
    joined.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    source, report = copy(joined, out)
    assert [f"frame {50 * number} " in note for number, note in enumerate(source.notes, 1)] == [True] * (
        len(starts) - 1
    )
    assert set(source.notes) < set(report.warnings)
    with av.open(str(out)) as result:
        stream = result.streams.video[0]
        times = [packet.pts * packet.time_base for packet in result.demux(stream) if packet.size]
        assert min(item.start_time * item.time_base for item in result.streams) == 0
    assert np.allclose(np.diff([float(time) for time in times]), 0.04, atol=1e-4)
    assert len(times) == 50 * len(starts)
    changes = tone_changes(out)
    assert [hertz for _, hertz in changes] == [440 * (number + 1) for number in range(len(starts))]
    assert np.allclose([at for at, _ in changes], [2.03 * number for number in range(len(starts))], atol=0.06)
    assert report.audio_packets == sum(len(sound_of(piece)) for piece in pieces)


def test_sound_is_encoded_across_a_restart(parts, tmp_path: Path) -> None:
    joined, out = tmp_path / "cat.ts", tmp_path / "out.mp4"
    joined.write_bytes(b"".join(parts(tone, codec="pcm_bluray").read_bytes() for tone in (440, 880)))
    _, report = copy(joined, out)
    assert any("re-encoded to AAC" in warning for warning in report.warnings)
    changes = tone_changes(out)
    assert [hertz for _, hertz in changes] == [440, 880]
    assert abs(changes[1][0] - 2) < 0.06
    assert abs(sound_of(out)[-1][0] - 4) < 0.06


def test_the_picture_waits_for_sound_that_lasts_longer(parts, tmp_path: Path) -> None:
    joined, out = tmp_path / "cat.ts", tmp_path / "out.mp4"
    joined.write_bytes(parts(440, seconds=2.7).read_bytes() + parts(880).read_bytes())
    source, report = copy(joined, out)
    assert report.warnings == source.notes
    times = [source.timeline.time(index) for index in range(100)]
    with av.open(str(out)) as container:
        begin = min(stream.start_time * stream.time_base for stream in container.streams.audio)
    changes = tone_changes(out)
    assert [hertz for _, hertz in changes] == [440, 880]
    # Each part's sound begins 21 ms before its picture.
    assert begin == 0 and 0.65 < times[50] - times[49] - Fraction(1, 25) < 0.8
    assert abs(changes[1][0] - float(times[50])) < 0.06
    assert {round(float(b - a), 4) for a, b in pairwise(times)} >= {0.04}


def test_one_equal_time_moves_one_frame(clips: Clips, ffmpeg, tmp_path: Path) -> None:
    source, out = tmp_path / "equal.mkv", tmp_path / "out.mp4"
    with av.open(str(clips("vfr.mkv"))) as given, av.open(str(source), "w") as target:
        stream = target.add_stream_from_template(given.streams.video[0], opaque=True)
        packets = [packet for packet in given.demux(video=0) if packet.size]
        order = sorted(packet.pts for packet in packets)
        equal = {order[30]: order[29]}
        for packet in packets:
            packet.dts = None
            packet.pts = equal.get(packet.pts, packet.pts)
            packet.stream = stream
            target.mux_one(packet)
    info, report = copy(source, out)
    assert info.timeline.vfr and "frame 30 moved" in report.warnings[0]
    before, after = (probe(path).timeline for path in (clips("vfr.mkv"), out))
    moved = [index for index in range(96) if before.time(index) - before.start != after.time(index)]
    assert moved == [30] and after.time(30) - after.time(29) == Fraction(1, 1000)


@pytest.mark.parametrize("name", ["hour.mkv", "hour.flv", "hour_fragmented.mp4"])
def test_a_clock_that_begins_late_gives_a_result_from_zero(
    name: str, with_sound, ffmpeg, tmp_path: Path
) -> None:
    source, out = tmp_path / name, tmp_path / "out.mp4"
    pieces = ("-movflags", "frag_keyframe+empty_moov+default_base_moof") if "fragmented" in name else ()
    ffmpeg("-i", with_sound("aac", ".mp4"), "-c", "copy", "-output_ts_offset", "3600", *pieces, source)
    info, _ = copy(source, out)
    assert info.timeline.start < Fraction(1, 10)
    with av.open(str(source)) as given, av.open(str(out)) as result:
        starts = [
            [item.start_time * item.time_base for item in (file.streams.video[0], file.streams.audio[0])]
            for file in (given, result)
        ]
    assert min(starts[1]) == 0
    assert abs((starts[0][1] - starts[0][0]) - (starts[1][1] - starts[1][0])) < Fraction(1, 1000)


def test_a_track_that_no_decoder_knows_costs_that_track(clips: Clips, ffmpeg, tmp_path: Path) -> None:
    source, out = tmp_path / "two.mp4", tmp_path / "out.mp4"
    tones = [part for tone in (440, 880) for part in ("-f", "lavfi", "-i", f"sine={tone}:d=3.84")]
    maps = ("-map", "0", "-map", "1", "-map", "2")
    ffmpeg("-i", clips("closed.mp4"), *tones, *maps, "-c:v", "copy", "-c:a", "aac", source)
    data = bytearray(source.read_bytes())
    at = data.rindex(b"stsd")
    data[at:] = data[at:].replace(b"mp4a", b"apac", 1).replace(b"esds", b"dapa", 1)
    source.write_bytes(data)
    _, report = copy(source, out)
    assert len(report.warnings) == 1 and "Sound track 2 is left out" in report.warnings[0]
    assert sound_of(out) == sound_of(source)


def test_experimental_sound_is_encoded(with_sound, tmp_path: Path) -> None:
    source = with_sound("truehd", ".mkv", "-strict", "-2")
    _, report = copy(source, tmp_path / "out.mp4")
    assert len(report.warnings) == 1 and "re-encoded to AAC" in report.warnings[0]
    assert probe(tmp_path / "out.mp4").audio.codec == "aac"


def test_one_refused_track_is_encoded_alone(clips: Clips, ffmpeg, tmp_path: Path) -> None:
    source, out = tmp_path / "two.mkv", tmp_path / "out.mp4"
    tones = [part for tone in (440, 880) for part in ("-f", "lavfi", "-i", f"sine={tone}:d=3.84")]
    maps = ("-map", "0", "-map", "1", "-map", "2", "-c:v", "copy")
    ffmpeg("-i", clips("closed.mp4"), *tones, *maps, "-c:a:0", "wmav2", "-c:a:1", "ac3", source)
    _, report = copy(source, out)
    assert len(report.warnings) == 1 and "Sound track 1 is re-encoded" in report.warnings[0]
    with av.open(str(out)) as joined:
        assert [stream.codec.canonical_name for stream in joined.streams.audio] == ["aac", "ac3"]


def test_a_part_begins_at_zero_with_its_sound(with_sound, tmp_path: Path, number_of) -> None:
    source, out = with_sound("aac", ".mp4"), tmp_path / "out.mp4"
    _, report = copy(source, out, Span(30, 70))
    joined = probe(out)
    assert report.frames == joined.frames == 40
    frames = list(read_frames(joined))
    assert [frame.time for frame in frames] == [Fraction(index, 25) for index in range(40)]
    assert [number_of(frame.rgb()) for frame in frames] == list(range(30, 70))
    packet = Fraction(1024, 44100)
    heard = [(time - Fraction(30, 25), size) for time, size in sound_of(source)]
    heard = [(time, size) for time, size in heard if -packet < time < Fraction(40, 25)]
    assert close(sound_of(out), heard)
    assert report.audio_packets == len(heard) == 70


def test_a_part_of_a_variable_rate(clips: Clips, tmp_path: Path) -> None:
    source, _ = copy(clips("vfr.mkv"), tmp_path / "out.mp4", Span(20, 61))
    joined, line = probe(tmp_path / "out.mp4"), source.timeline
    assert [joined.timeline.time(i) for i in range(41)] == [
        line.time(20 + i) - line.time(20) for i in range(41)
    ]


def test_images_have_no_sound(tmp_path: Path, picture) -> None:
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(10):
        Image.fromarray(picture(index)).save(folder / f"{index}.png")
    _, report = copy(folder, tmp_path / "out.mp4")
    assert report == JoinReport(10, 0)
    assert probe(tmp_path / "out.mp4").colour.matrix == "bt709"


def test_what_was_salvaged_keeps_its_times(clips: Clips, tmp_path: Path) -> None:
    source, report = copy(clips("middle_overwritten.mp4"), tmp_path / "out.mp4", salvage=True)
    joined = probe(tmp_path / "out.mp4")
    assert report.frames == joined.frames < 97
    assert [joined.timeline.time(i) for i in range(joined.frames)] == [
        source.timeline.time(i) for i in range(source.frames)
    ]


def test_the_index_lies_in_front(clips: Clips, tmp_path: Path) -> None:
    copy(clips("closed.mp4"), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_titles_are_kept(clips: Clips, ffmpeg, tmp_path: Path) -> None:
    named = tmp_path / "named.mp4"
    ffmpeg("-i", clips("closed.mp4"), "-c", "copy", "-metadata", "title=A long take", named)
    copy(named, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as joined:
        assert joined.metadata["title"] == "A long take"


@pytest.mark.parametrize(
    ("given", "claimed", "says"), [((0, 60), (0, 96), "60 of 96"), ((0, 96), (0, 60), "more than 60")]
)
def test_segments_that_do_not_fit_are_refused(given, claimed, says, clips: Clips, tmp_path: Path) -> None:
    info = probe(clips("closed.mp4"))
    segments = segments_of(info, Span(*given), tmp_path)
    with pytest.raises(EncoderDied, match=says):
        join_segments(segments, info, Span(*claimed), tmp_path / "out.mp4")


def test_segments_of_another_encoder_are_refused(clips: Clips, tmp_path: Path) -> None:
    info = probe(clips("closed.mp4"))
    segments = segments_of(info, Span(0, 80), tmp_path)
    with VideoWriter(segments[1], info.width, info.height, info.frame_rate, preset="ultrafast") as out:
        for frame in read_frames(info, 40, 80):
            out.write(frame.rgb())
    with pytest.raises(EncoderDied, match="other settings"):
        join_segments(segments, info, Span(0, 80), tmp_path / "out.mp4")


def test_a_frame_off_its_time_is_found(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = JoinClock.stamp
    monkeypatch.setattr(
        JoinClock,
        "stamp",
        lambda clock, index: stamp(clock, index) + (clock.scale // 1000 + 1) * (index > 50),
    )
    with pytest.raises(EncoderDied, match="frame 51 is"):
        copy(clips("closed.mp4"), tmp_path / "out.mp4")


def test_a_full_disk_is_named(clips: Clips, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    info = probe(clips("closed.mp4"))
    segments = segments_of(info, Span(0, 96), tmp_path)
    with pytest.raises(NotEnoughDisk, match="disk is full"):
        join_segments(segments, info, Span(0, 96), full)


@pytest.mark.parametrize("codec", ["aac", "wmav2"])
def test_no_sound_is_lost_where_the_disk_takes_no_more(
    codec: str, with_sound, tmp_path: Path, small_files
) -> None:
    """Sound that is copied, and sound that is encoded again: what the disk refuses is no fault of the sound."""
    source = with_sound(codec)
    info = probe(source)
    segments = segments_of(info, Span(0, info.frames), tmp_path)
    with small_files(1000), pytest.raises(NotEnoughDisk, match="larger than"):
        join_segments(segments, info, Span(0, info.frames), tmp_path / "out.mp4")


@pytest.mark.parametrize("track", ["sound", "subtitles"])
def test_no_track_is_lost_where_its_encoder_is_killed(
    track: str, with_sound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, killed = probe(with_sound("wmav2")), subprocess.CompletedProcess([], -9, "", "")
    monkeypatch.setattr(join.ffmpeg, "run", lambda *_, **__: killed)
    with pytest.raises(EncoderDied, match="killed by signal 9"):
        if track == "sound":
            sound.encode(info, 1, tmp_path / "out.m4a", "aac")
        else:
            monkeypatch.setattr(extras, "_subtitle_tracks", lambda _: [(2, "subrip")])
            extras.convert_subtitles(info, tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        *((number, av.error.FFmpegError) for number in (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
        (errno.EINVAL, SoundRefused),
    ],
)
def test_only_what_is_wrong_with_sound_is_told_of_sound(number: int, fault: type[Exception]) -> None:
    def refuse(packet: object) -> None:
        raise av.error.FFmpegError(number, os.strerror(number))

    target = SimpleNamespace(name="out.mp4", mux_one=refuse)
    with pytest.raises(fault):
        join._mux(target, SimpleNamespace(stream="sound"), [SimpleNamespace(target="sound", index=1)])


def test_leaves_no_thread(clips: Clips, tmp_path: Path) -> None:
    threads = threading.active_count()
    copy(clips("closed.mp4"), tmp_path / "out.mp4")
    assert threading.active_count() == threads
