"""The times of a joined file: of each frame, of the sound that belongs to the frames, and of the movie."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from pipelines.spans import Span
from pipelines.video.info import VideoInfo
from pipelines.video.tracks.sound import Cut

_FINEST_TIMESCALE = 10_000_000
"""Ticks per second at most: with 64-bit times still 29,000 years."""
_LARGEST_TIMESCALE = 2**31 - 1
"""The largest movie timescale that ffmpeg accepts."""
_FLICKS = 705_600_000
"""Ticks per second that usual frame rates, sample rates and 90 kHz clocks divide exactly (Oculus, "flicks")."""


@dataclass(frozen=True)
class JoinClock:
    """Times of the frames in the joined file, in ticks of `1 / scale` seconds."""

    info: VideoInfo
    frames: Span
    heard: VideoInfo | None
    shift: Fraction
    scale: int

    @classmethod
    def of(
        cls, info: VideoInfo, frames: Span, heard: VideoInfo | None, sound_start: Fraction | None
    ) -> "JoinClock":
        """Return the clock of `frames`; the sound of the result begins at `sound_start` in the source, in seconds."""
        timeline = info.timeline
        start = timeline.time(frames.start)
        shift = start
        if len(frames) == info.frames and start > 0 and sound_start is not None:
            shift = max(Fraction(0), min(start, sound_start))
        finest = timeline.time_base.denominator if timeline.vfr else timeline.rate.numerator
        scale = lcm(finest, (start - shift).denominator)
        return cls(info, frames, heard, shift, min(scale, _FINEST_TIMESCALE))

    def seconds(self, index: int) -> Fraction:
        """Return the time of a frame of the source in the joined file."""
        return self.info.timeline.time(index) - self.shift

    def stamp(self, index: int) -> int:
        """Return that time in ticks."""
        return round(self.seconds(index) * self.scale)

    def duration(self, index: int) -> int:
        """Return for how many ticks a frame is shown."""
        if index + 1 < self.info.frames:
            return self.stamp(index + 1) - self.stamp(index)
        return round(self.info.timeline.last_seconds * self.scale)

    def cut(self) -> Cut:
        """Return the sound that belongs to the frames: all of it for the whole video with its own sound."""
        begin, last = self.shift + (self.heard or self.info).timeline.origin, self.frames.stop - 1
        if self.heard is None and len(self.frames) == self.info.frames:
            return Cut(None, None, begin)
        stop = self.seconds(last) + Fraction(self.duration(last), self.scale)
        # Packets before the beginning are the encoder's priming samples, which players skip.
        from_its_beginning = self.heard is not None and self.shift == 0
        return Cut(None if from_its_beginning else begin, begin + stop, begin)


def movie_timescale(video_scale: int, sample_rates: Sequence[int]) -> int:
    """Return ticks per second of the movie's clock, which stores each track's delay and length.

    A clock that the tracks do not divide rounds both: sound moves, and a last packet beyond the rounded length is lost.
    """
    exact = lcm(video_scale, *sample_rates)
    return exact if exact <= _LARGEST_TIMESCALE else _FLICKS
