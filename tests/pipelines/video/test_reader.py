"""Every kind of file: the right frames or a named error, from any frame on, and bounded."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from pipelines.errors import DamagedVideo, ReaderDied, ReaderStalled, UnsupportedVideo
from pipelines.video import reader
from pipelines.video.decoders import decoding, reader_ffmpeg
from pipelines.video.files import ffmpeg as ffmpeg_module
from pipelines.video.info import VideoInfo
from pipelines.video.probe import probe
from pipelines.video.reader import bounded_decoder, choose_decoder, held_bytes, read_frames, why_not_decord

Clips = Callable[[str], Path]

WHOLE = list(range(96))
WITHOUT_SOME = [index for index in WHOLE if index % 7 != 3]
READABLE: dict[str, tuple[list[int], str]] = {
    "bframes.mp4": (WHOLE, "decord"),
    "closed.mp4": (WHOLE, "decord"),
    "ntsc.mp4": (WHOLE, "decord"),
    "ntsc.mkv": (WHOLE, "decord"),
    "tagged.mp4": (WHOLE, "decord"),
    "faststart.mp4": (WHOLE, "decord"),
    "no_extension": (WHOLE, "decord"),
    "-odd näme: 100%d.mp4": (WHOLE, "decord"),
    "matroska_inside.mp4": (WHOLE, "decord"),
    "closed.mkv": (WHOLE, "decord"),
    "fragmented.mp4": (WHOLE, "decord"),
    "vfr.mp4": (WITHOUT_SOME, "decord"),
    "vfr.mkv": (WHOLE, "decord"),
    "rotated_90.mp4": (WHOLE, "decord"),
    "rotated_180.mp4": (WHOLE, "decord"),
    "rotated_270.mp4": (WHOLE, "decord"),
    "mirrored.mp4": (WHOLE, "ffmpeg"),
    "hevc.mp4": (WHOLE, "decord"),
    "hevc_open.mp4": (WHOLE, "decord"),
    "hevc_10bit.mp4": (WHOLE, "pyav"),
    "open_gop.mp4": (WHOLE, "decord"),
    "intra_refresh.mp4": (WHOLE, "decord"),
    "av1.mp4": (WHOLE, "pyav"),
    "vp8.webm": (WHOLE, "decord"),
    "vp9.webm": (WHOLE, "decord"),
    "vp9_alpha.webm": (WHOLE, "pyav"),
    "vp9_odd.webm": (WHOLE, "decord"),
    "odd_444.mp4": (WHOLE, "decord"),
    "prores.mov": (WHOLE, "pyav"),
    "ffv1.mkv": (WHOLE, "decord"),
    "gray.mp4": (WHOLE, "decord"),
    "full_range.mp4": (WHOLE, "decord"),
    "bframes.avi": (WHOLE, "pyav"),
    "plain.avi": (WHOLE, "pyav"),
    "mpeg4.mp4": (WHOLE, "pyav"),
    "picture.gif": (WHOLE, "pyav"),
    "sar.mp4": (WHOLE, "decord"),
    "interlaced.mp4": (WHOLE, "pyav"),
    "edit_list.mp4": (WHOLE[38:], "pyav"),
    "delayed.mp4": (WHOLE, "decord"),
    "bframes.ts": (WHOLE, "pyav"),
    "plain.ts": (WHOLE, "pyav"),
    "bframes.m2ts": (WHOLE, "pyav"),
    "program.mpg": (WHOLE, "pyav"),
    "flash.flv": (WHOLE, "pyav"),
    "raw.h264": (WHOLE, "pyav"),
    "cover_first.mp4": (WHOLE, "decord"),
    "one.mp4": ([0], "decord"),
    "two.mp4": ([0, 1], "decord"),
    "tiny.mp4": (WHOLE, "decord"),
}
"""Clip: the numbers of its frames and the decoder that `auto` takes."""

ONLY_CLOSE = {"vp9_alpha.webm", "hevc_10bit.mp4", "prores.mov", "interlaced.mp4", "vp9_odd.webm"}
"""Builds of ffmpeg differ a little in converting interlaced chroma and odd sizes to RGB. More than 8 bits are converted
without it: test_deep_reader.py."""


def test_a_slow_consumer_gets_decord_only_where_it_asks_for_it(clips: Clips) -> None:
    info = probe(clips("closed.mp4"))
    assert choose_decoder(info) == "decord"
    assert bounded_decoder(info, "auto") == "pyav"
    assert bounded_decoder(info, "decord") == "decord"


@pytest.mark.parametrize("name", READABLE)
def test_gives_the_very_frames(name: str, clips: Clips, reference, number_of) -> None:
    info = probe(clips(name))
    numbers, decoder = READABLE[name]
    assert choose_decoder(info) == decoder
    expected = reference(info.path, info.width, info.height)
    assert info.frames == len(expected) == len(numbers)
    tried = {"auto", "ffmpeg"} | ({"pyav"} if not info.mirrored else set())
    for decoder in sorted(tried):
        frames = [(frame.index, frame.rgb()) for frame in read_frames(info, decoder=decoder)]
        assert [index for index, _ in frames] == list(range(info.frames))
        pixels = np.stack([rgb for _, rgb in frames])
        if name not in ONLY_CLOSE or (decoder == "ffmpeg" and not info.deep):
            assert np.array_equal(pixels, expected), decoder
        if not info.mirrored and not info.rotation:
            assert [number_of(rgb) for rgb in pixels] == numbers, decoder


@pytest.mark.parametrize("width", [16, 24, 48, 50, 72])
def test_narrow_video_has_three_channels(
    width: int, tmp_path: Path, ffmpeg: Callable[..., bytes], reference
) -> None:
    """decord deduces the channels from the length of a row, its padding included: which widths, depends on the CPU."""
    path = tmp_path / "narrow.mp4"
    ffmpeg("-f", "lavfi", "-i", f"testsrc=s={width}x32:r=25:d=0.2", "-pix_fmt", "yuv420p", str(path))
    info = probe(path)
    assert choose_decoder(info) == "decord"
    assert np.array_equal([frame.rgb() for frame in read_frames(info)], reference(path, width, 32))


@pytest.mark.parametrize("name", READABLE)
def test_starts_anywhere_with_the_same_pixels(name: str, clips: Clips) -> None:
    info = probe(clips(name))
    decoder = "ffmpeg" if info.mirrored else "pyav"
    whole = [(frame.time, frame.rgb(), frame.luma()) for frame in read_frames(info, decoder=decoder)]
    for start in sorted({0, 1, 5, 23, 24, 25, 30, 49, 71, 72, 73, 95, info.frames - 1}):
        if start >= info.frames:
            continue
        with closing(read_frames(info, start, start + 2, decoder=decoder)) as frames:
            for index, frame in enumerate(frames, start):
                time, rgb, luma = whole[index]
                assert (frame.index, frame.time) == (index, time)
                assert np.array_equal(frame.rgb(), rgb)
                assert np.array_equal(frame.luma(), luma)
            assert index == min(start + 1, info.frames - 1)


class TestLuma:
    @pytest.mark.parametrize(
        "name", ["closed.mp4", "tagged.mp4", "gray.mp4", "full_range.mp4", "rotated_90.mp4"]
    )
    def test_is_the_brightness_of_the_rgb(self, name: str, clips: Clips) -> None:
        info = probe(clips(name))
        weights = (0.2126, 0.7152, 0.0722) if name == "tagged.mp4" else (0.299, 0.587, 0.114)
        for frame in read_frames(info, 0, 10, decoder="pyav"):
            assert frame.luma().shape == (info.height, info.width)
            close_to = np.abs(frame.luma() - frame.rgb() @ np.array(weights))
            # Colours at the sharp edge of the red corner lie outside RGB and are clipped there.
            assert np.quantile(close_to, 0.97) <= 1.5

    @pytest.mark.parametrize(
        "name", ["closed.mp4", "full_range.mp4", "gray.mp4", "rotated_90.mp4", "ffv1.mkv"]
    )
    def test_is_the_same_from_each_decoder(self, name: str, clips: Clips) -> None:
        info = probe(clips(name))
        read = {
            d: np.stack([f.luma() for f in read_frames(info, 0, 20, decoder=d)])
            for d in ("decord", "pyav", "ffmpeg")
        }
        for decoder in ("decord", "ffmpeg"):
            away = np.abs(read[decoder].astype(int) - read["pyav"])
            assert np.quantile(away, 0.97) <= 2, decoder

    def test_ten_bits_become_eight(self, clips: Clips) -> None:
        info = probe(clips("hevc_10bit.mp4"))
        for frame in read_frames(info, 0, 5):
            away = np.abs(frame.luma() - frame.rgb() @ np.array([0.299, 0.587, 0.114]))
            assert np.quantile(away, 0.97) <= 2.1

    @pytest.mark.parametrize(
        "name", ["closed.mp4", "rotated_90.mp4", "rotated_270.mp4", "picture.gif", "mirrored.mp4"]
    )
    def test_narrowed_is_the_average_of_the_whole(self, name: str, clips: Clips) -> None:
        info = probe(clips(name))
        width = info.width // 4
        for frame in read_frames(info, 3, 6):
            whole, small = frame.luma(), frame.luma(width)
            assert small.shape == (info.height // 4, width)
            averaged = whole.reshape(info.height // 4, 4, width, 4).mean(axis=(1, 3))
            assert np.abs(averaged - small).max() <= 2

    def test_never_widens(self, clips: Clips) -> None:
        frame = next(read_frames(probe(clips("closed.mp4"))))
        assert frame.luma(10_000).shape == (96, 160)

    def test_asks_no_conversion_to_rgb(self, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
        info = probe(clips("closed.mp4"))
        assert choose_decoder(info) == "decord"
        assert choose_decoder(info, luma_only=True) == "pyav"
        monkeypatch.setattr(reader.YuvPicture, "rgb", None)
        assert sum(1 for frame in read_frames(info, luma_only=True) if frame.luma(80).any()) == 96


class TestTimes:
    def test_of_ntsc_are_exact_fractions(self, clips: Clips) -> None:
        for name in ("ntsc.mp4", "ntsc.mkv"):  # Matroska's clock has milliseconds only.
            times = [frame.time for frame in read_frames(probe(clips(name)), 90, 93)]
            assert times == [index * Fraction(1001, 30000) for index in (90, 91, 92)]

    def test_of_a_variable_rate_are_those_stored(self, clips: Clips) -> None:
        info = probe(clips("vfr.mp4"))
        shown = [index for index in WHOLE if index % 7 != 3]
        assert [frame.time for frame in read_frames(info)] == [Fraction(index, 25) for index in shown]

    def test_of_a_delayed_picture_begin_late(self, clips: Clips) -> None:
        assert next(read_frames(probe(clips("delayed.mp4")))).time == Fraction(1, 2)


class TestSeeking:
    @staticmethod
    def decoded(info: VideoInfo, start: int, monkeypatch: pytest.MonkeyPatch) -> int:
        """How many frames are decoded to give frame `start`."""
        count = 0
        frames = decoding._frames

        def counting(*given: object) -> Iterator[object]:
            nonlocal count
            for frame in frames(*given):
                count += 1
                yield frame

        monkeypatch.setattr(decoding, "_frames", counting)
        with closing(decoding.iter_decoded(info, start)) as found:
            assert next(found)[0] == start
        return count

    @pytest.mark.parametrize(
        "name", ["closed.mp4", "closed.mkv", "hevc_open.mp4", "prores.mov", "ffv1.mkv", "av1.mp4"]
    )
    def test_decodes_from_the_nearest_clean_key_frame(self, name, clips, monkeypatch) -> None:
        assert self.decoded(probe(clips(name)), 90, monkeypatch) <= 24

    @pytest.mark.parametrize(
        "name", ["open_gop.mp4", "intra_refresh.mp4", "edit_list.mp4", "bframes.ts", "bframes.avi"]
    )
    def test_decodes_from_the_start_where_no_key_frame_is_clean(self, name, clips, monkeypatch) -> None:
        assert self.decoded(probe(clips(name)), 50, monkeypatch) == 51

    def test_an_index_that_leads_astray_is_not_trusted(self, clips, monkeypatch) -> None:
        # As if the container's index named a later key frame than was asked for.
        info = probe(clips("closed.mp4"))
        seek = decoding.enter
        monkeypatch.setattr(
            decoding, "enter", lambda container, stream, info, start: seek(container, stream, info, 90)
        )
        with (
            closing(read_frames(info, 30, 32, decoder="pyav")) as frames,
            pytest.raises(DamagedVideo, match="72 instead of 30"),
        ):
            list(frames)


class TestHoldsLittle:
    @pytest.mark.parametrize("ahead", [1, reader.READ_AHEAD_FRAMES, 8])
    def test_reads_no_more_ahead_of_a_slow_consumer_than_was_asked(self, clips, monkeypatch, ahead) -> None:
        info = probe(clips("closed.mp4"))
        made = 0
        full = threading.Event()
        frames = reader.iter_decoded

        def counting(*given: object, **more: object) -> Iterator[object]:
            nonlocal made
            for item in frames(*given, **more):
                made += 1
                if made > ahead:
                    full.set()
                yield item

        monkeypatch.setattr(reader, "iter_decoded", counting)
        with closing(read_frames(info, decoder="pyav", ahead=ahead)) as read:
            for taken in range(1, 20):
                next(read)
                assert made <= taken + ahead + 1
            assert full.wait(100)

    def test_decord_is_not_asked_where_it_could_hold_too_much(self, clips: Clips) -> None:
        info = probe(clips("closed.mp4"))
        assert why_not_decord(info) is None
        long = replace(info, timeline=replace(info.timeline, frames=20_000))
        assert choose_decoder(long) == "pyav"
        assert held_bytes(long) < held_bytes(info, "decord") * 2 < held_bytes(long, "decord")
        with pytest.raises(UnsupportedVideo, match="too many frames"):
            next(read_frames(long, decoder="decord"))

    @pytest.mark.parametrize("decoder", ["pyav", "decord", "ffmpeg"])
    def test_nothing_is_left_when_closed_early(self, decoder, clips: Clips) -> None:
        threads, children = threading.active_count(), psutil.Process().children()
        frames = read_frames(probe(clips("closed.mp4")), decoder=decoder)
        next(frames)
        assert threading.active_count() > threads
        frames.close()
        assert threading.active_count() == threads
        assert psutil.Process().children() == children

    def test_nothing_is_left_when_the_consumer_fails(self, clips: Clips) -> None:
        threads = threading.active_count()
        with pytest.raises(ZeroDivisionError), closing(read_frames(probe(clips("closed.mp4")))) as frames:
            next(frames).index / 0
        assert threading.active_count() == threads


class TestErrors:
    def test_decord_refuses_what_it_gets_wrong(self, clips: Clips) -> None:
        wrong = [
            "edit_list.mp4",
            "bframes.ts",
            "bframes.avi",
            "mirrored.mp4",
            "interlaced.mp4",
            "hevc_10bit.mp4",
        ]
        for name in wrong:
            with pytest.raises(UnsupportedVideo, match=r"decord .* --decoder auto"):
                next(read_frames(probe(clips(name)), decoder="decord"))

    def test_auto_goes_on_without_decord(self, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
        info = probe(clips("closed.mp4"))

        def fails(*_: object) -> None:
            raise reader.CannotOpen("does not open it")

        monkeypatch.setattr(reader, "open_decord", fails)
        assert sum(1 for _ in read_frames(info)) == 96
        with pytest.raises(UnsupportedVideo, match="does not open it"):
            next(read_frames(info, decoder="decord"))

    @pytest.mark.parametrize("decoder", ["pyav", "ffmpeg", "decord"])
    def test_fewer_frames_than_were_counted(self, decoder, clips: Clips) -> None:
        info = probe(clips("closed.mp4"))
        more = replace(info, timeline=replace(info.timeline, frames=98))
        # decord is asked without its own count, which would refuse the clip before the first frame.
        with pytest.raises((DamagedVideo, UnsupportedVideo), match=r"ends after 96 of 98 frames|counts 96"):
            list(read_frames(more, decoder=decoder))

    @pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
    def test_more_frames_than_were_counted(self, decoder, clips: Clips) -> None:
        info = probe(clips("raw.h264"))
        fewer = replace(info, timeline=replace(info.timeline, frames=90))
        with pytest.raises(DamagedVideo, match="more than the 90 frames"):
            list(read_frames(fewer, decoder=decoder))

    @pytest.mark.parametrize("name", ["middle_overwritten.mp4", "mostly_zero.mp4", "flipped.mp4"])
    def test_damage_that_was_not_seen_before_is_named_when_reached(self, name, clips: Clips) -> None:
        whole, broken = probe(clips("closed.mp4")), clips(name)
        # The whole clip's description stands for a long film, of which not every frame is decoded beforehand.
        for decoder in ("pyav", "ffmpeg"):
            with pytest.raises(DamagedVideo, match="--salvage"):
                list(read_frames(replace(whole, path=broken), decoder=decoder))

    def test_a_changed_size_is_named_when_reached(self, clips: Clips) -> None:
        info = replace(probe(clips("plain.ts")), path=clips("size_changes.ts"), stamped=False)
        info = replace(info, timeline=replace(info.timeline, frames=192))
        with pytest.raises(UnsupportedVideo, match="160x96, then 128x80"):
            list(read_frames(info))

    def test_a_stalled_child_is_killed(self, clips, tmp_path, monkeypatch) -> None:
        stuck = tmp_path / "ffmpeg"
        stuck.write_text("#!/bin/sh\nexec sleep 600\n")
        stuck.chmod(0o755)
        info = probe(clips("closed.mp4"))
        monkeypatch.setattr(ffmpeg_module, "binary", lambda: str(stuck))
        monkeypatch.setattr(reader_ffmpeg, "STALL_SECONDS", 0.05)
        children = psutil.Process().children()
        with pytest.raises(ReaderStalled, match=r"no frame .* for 0.05 s"):
            next(read_frames(info, decoder="ffmpeg"))
        assert psutil.Process().children() == children

    @pytest.mark.parametrize("salvaged", [False, True])
    def test_a_killed_child_is_named_and_never_taken_for_the_end(
        self, clips, tmp_path, monkeypatch, salvaged
    ) -> None:
        killed = tmp_path / "ffmpeg"
        killed.write_text("#!/bin/sh\nkill -9 $$\n")
        killed.chmod(0o755)
        info = replace(probe(clips("closed.mp4")), salvaged=salvaged)
        monkeypatch.setattr(ffmpeg_module, "binary", lambda: str(killed))
        with pytest.raises(ReaderDied, match="killed by signal 9"):
            list(read_frames(info, decoder="ffmpeg", salvage=salvaged))

    def test_a_slow_consumer_is_no_stall(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader_ffmpeg, "STALL_SECONDS", 0.001)
        killed, looks = threading.Event(), threading.Semaphore(0)
        guard = reader_ffmpeg._StallGuard(SimpleNamespace(kill=killed.set))
        wait = guard._closed.wait

        def counted(timeout: float) -> bool:
            looks.release()
            return wait(timeout)

        guard._closed.wait = counted
        for _ in range(5):
            with guard:  # A frame is read at once, then nobody takes it for a while.
                pass
            assert looks.acquire(timeout=300) and looks.acquire(timeout=300)
        assert not killed.is_set() and not guard.stalled
        with guard:
            assert killed.wait(100) and guard.stalled
        guard.close()

    def test_a_range_outside_the_video(self, clips: Clips) -> None:
        info = probe(clips("two.mp4"))
        assert list(read_frames(info, 2)) == []
        assert [frame.index for frame in read_frames(info, 1, 50)] == [1]
        with pytest.raises(ValueError, match="frames 3 to 2"):
            next(read_frames(info, 3))


class TestSalvage:
    @pytest.mark.parametrize(
        ("name", "least", "most"),
        [
            ("truncated.mp4", 40, 70),
            ("truncated.mkv", 40, 70),
            ("truncated_fragments.mp4", 40, 70),
            ("middle_overwritten.mp4", 60, 96),
            ("mostly_zero.mp4", 15, 80),
            ("flipped.mp4", 40, 96),
        ],
    )
    def test_gives_what_can_be_read_and_says_what_is_missing(self, name, least, most, clips: Clips) -> None:
        path = clips(name)
        with pytest.raises(DamagedVideo, match="--salvage"):
            probe(path)
        info = probe(path, salvage=True)
        assert info.damage and info.salvaged
        assert least <= info.frames <= most
        with pytest.raises(DamagedVideo):
            next(read_frames(info))
        frames = [frame.rgb() for frame in read_frames(info, salvage=True)]
        assert len(frames) == info.frames
        if not name.startswith("truncated"):
            assert info.missing_frames == 96 - info.frames
        again = [frame.rgb() for frame in read_frames(info, 10, 20, salvage=True)]
        assert np.array_equal(np.stack(again), np.stack(frames[10:20]))

    def test_counts_the_frames_that_the_header_promised(self, clips: Clips) -> None:
        info = probe(clips("truncated.mp4"), salvage=True)
        assert info.frames + info.missing_frames == 96


@pytest.mark.parametrize("decoder", ["pyav", "decord", "ffmpeg"])
def test_frames_are_the_consumers_to_keep_and_to_change(decoder, clips: Clips) -> None:
    frames = list(read_frames(probe(clips("closed.mp4")), 0, 12, decoder=decoder))
    first = frames[0].rgb()
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(frames[0].rgb(), kept)
