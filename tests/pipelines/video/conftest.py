"""Clips whose frames carry their number, made once a session by ffmpeg."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

WIDTH, HEIGHT, FRAMES = 160, 96, 96
BITS, BLOCK = 12, 12

Clips = Callable[[str], Path]


def numbered(index: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Frame `index`: its number as black and white blocks, a red corner, and a picture that moves."""
    x = np.arange(width)[None, :] + 3 * index
    y = np.arange(height)[:, None] + index
    frame = np.repeat((96 + 40 * np.sin(x / 9) + 40 * np.cos(y / 7))[:, :, None], 3, axis=2).astype(np.uint8)
    for bit in range(BITS):
        frame[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (index >> bit & 1)
    frame[-BLOCK:, -BLOCK:] = (200, 30, 30)
    return frame


def read_number(frame: NDArray[np.uint8]) -> int:
    """The number that a decoded frame carries."""
    middles = [
        frame[BLOCK // 2 - 2 : BLOCK // 2 + 2, bit * BLOCK + 4 : bit * BLOCK + 8].mean()
        for bit in range(BITS)
    ]
    return sum(1 << bit for bit, level in enumerate(middles) if level > 127)


@pytest.fixture(scope="session")
def number_of() -> Callable[[NDArray[np.uint8]], int]:
    """Reads the number of a frame."""
    return read_number


@pytest.fixture(scope="session")
def picture() -> Callable[..., NDArray[np.uint8]]:
    """Draws a numbered frame."""
    return numbered


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., bytes]:
    """Runs ffmpeg, without any of our code."""

    def run(*arguments: object, stdin: bytes | None = None) -> bytes:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=300)
        assert done.returncode == 0, (command, done.stderr.decode())
        return done.stdout

    return run


@pytest.fixture(scope="session")
def reference(ffmpeg: Callable[..., bytes]) -> Callable[[Path, int, int], NDArray[np.uint8]]:
    """All frames of a clip as the ffmpeg program decodes them."""

    def frames(path: Path, width: int, height: int) -> NDArray[np.uint8]:
        source = ("-i", f"file:{path.absolute()}", "-map", "0:V:0")
        raw = ffmpeg(*source, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)

    return frames


X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "12")
CLOSED = (*X264, "-g", "24", "-bf", "2")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "2")
TONE = ("-f", "lavfi", "-i", "sine=440:d=3.84")
SETPARAMS_709 = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
TAGS_709 = f"-vf scale=out_color_matrix=bt709:out_range=tv,{SETPARAMS_709}"
PQ = "-vf setparams=color_trc=smpte2084:color_primaries=bt2020:colorspace=bt2020nc"

ENCODED: dict[str, tuple[str, ...]] = {
    "bframes.mp4": (*X264, "-g", "250", "-bf", "3"),
    "closed.mp4": CLOSED,
    "faststart.mp4": (*CLOSED, "-movflags", "+faststart"),
    "tagged.mp4": (*CLOSED, *TAGS_709.split()),
    "no_extension": (*CLOSED, "-f", "mp4"),
    "-odd näme: 100%d.mp4": CLOSED,
    "matroska_inside.mp4": (*CLOSED, "-f", "matroska"),
    "closed.mkv": CLOSED,
    "fragmented.mp4": (*X264, "-g", "24", "-bf", "0", "-movflags", "frag_keyframe+empty_moov"),
    "vfr.mp4": (*CLOSED, "-vf", "select=not(eq(mod(n\\,7)\\,3))", "-fps_mode", "passthrough"),
    "vfr.mkv": (
        *CLOSED,
        "-vf",
        "settb=1/1000,setpts=N*40+mod(N\\,3)*13",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1/1000",
    ),
    "hevc.mp4": (
        "-c:v",
        "libx265",
        "-crf",
        "12",
        "-x265-params",
        "log-level=error:keyint=250",
        "-tag:v",
        "hvc1",
    ),
    "hevc_open.mp4": (
        "-c:v",
        "libx265",
        "-crf",
        "12",
        "-x265-params",
        "log-level=error:keyint=24:min-keyint=24",
    ),
    "hevc_10bit.mp4": (
        "-c:v",
        "libx265",
        "-crf",
        "8",
        "-x265-params",
        "log-level=error",
        "-pix_fmt",
        "yuv420p10le",
    ),
    "hevc_pq.mp4": (
        "-c:v",
        "libx265",
        "-x265-params",
        "log-level=error",
        *PQ.split(),
        "-pix_fmt",
        "yuv420p10le",
    ),
    "open_gop.mp4": (*X264, "-x264-params", "open-gop=1:keyint=24:min-keyint=24:bframes=3:scenecut=0"),
    "intra_refresh.mp4": (*X264, "-x264-params", "intra-refresh=1:keyint=24:bframes=0"),
    "av1.mp4": ("-c:v", "libsvtav1", "-crf", "15", "-preset", "10", "-g", "24"),
    "vp8.webm": ("-c:v", "libvpx", "-b:v", "2M", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-g", "48"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-crf", "15", "-b:v", "0", "-g", "48", "-deadline", "realtime"),
    "vp9_alpha.webm": (
        "-c:v",
        "libvpx-vp9",
        "-crf",
        "15",
        "-b:v",
        "0",
        "-pix_fmt",
        "yuva420p",
        "-deadline",
        "realtime",
    ),
    "vp9_odd.webm": (
        "-c:v",
        "libvpx-vp9",
        "-crf",
        "15",
        "-b:v",
        "0",
        "-vf",
        "crop=159:95:0:0",
        "-deadline",
        "realtime",
    ),
    "odd_444.mp4": (*CLOSED, "-vf", "crop=159:95:0:0", "-pix_fmt", "yuv444p"),
    "prores.mov": ("-c:v", "prores_ks"),
    "ffv1.mkv": ("-c:v", "ffv1", "-g", "12"),
    "gray.mp4": (*CLOSED, "-pix_fmt", "gray"),
    "full_range.mp4": (*CLOSED, "-vf", "scale=out_range=pc", "-color_range", "pc"),
    "bframes.avi": (*MPEG4, "-bf", "2"),
    "plain.avi": MPEG4,
    "mpeg4.mp4": (*MPEG4, "-bf", "2", "-g", "24"),
    "picture.gif": (),
    "sar.mp4": (*CLOSED, "-vf", "setsar=4/3"),
    "interlaced.mp4": (*CLOSED, "-flags", "+ilme+ildct"),
    "bframes.ts": CLOSED,
    "plain.ts": (*X264, "-g", "24", "-bf", "0"),
    "bframes.m2ts": CLOSED,
    "program.mpg": ("-c:v", "mpeg2video", "-q:v", "2", "-bf", "2"),
    "flash.flv": ("-c:v", "flv1", "-q:v", "2"),
    "raw.h264": CLOSED,
    "one.mp4": (*CLOSED, "-frames:v", "1"),
    "two.mp4": (*CLOSED, "-frames:v", "2"),
    "tiny.mp4": (*CLOSED, "-vf", "crop=144:16:0:0"),
}
"""Arguments that make a clip from the numbered frames."""

DERIVED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rotated_90.mp4": (("-display_rotation", "90"), ()),
    "rotated_180.mp4": (("-display_rotation", "180"), ()),
    "rotated_270.mp4": (("-display_rotation", "270"), ()),
    "mirrored.mp4": (("-display_hflip",), ()),
    "edit_list.mp4": (("-ss", "1.5"), ()),
    "delayed.mp4": (("-itsoffset", "0.5"), ()),
}
"""Arguments before and after the input `closed.mp4`, whose packets are copied."""


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., bytes]) -> Clips:
    """Gives the path of a clip by its name; made at the first request."""
    folder = tmp_path_factory.mktemp("clips")
    raw = np.stack([numbered(index) for index in range(FRAMES)]).tobytes()
    pipe = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}")

    def encode(path: Path, *arguments: str, rate: str = "25", pix_fmt: str = "yuv420p") -> None:
        given = () if "-pix_fmt" in arguments or path.suffix == ".gif" else ("-pix_fmt", pix_fmt)
        ffmpeg(*pipe, "-r", rate, "-i", "-", *given, *arguments, f"file:{path}", stdin=raw)

    def special(name: str, path: Path) -> None:
        closed = clip("closed.mp4")
        data = closed.read_bytes()
        match name:
            case "ntsc.mp4":
                encode(path, *CLOSED, rate="30000/1001")
            case "ntsc.mkv":
                encode(path, *CLOSED, rate="30000/1001")
            case "with_sound.mp4":
                ffmpeg("-i", closed, *TONE, "-c:v", "copy", "-c:a", "aac", path)
            case "sound_first.mp4":
                ffmpeg("-i", closed, *TONE, "-map", "1:a", "-map", "0:v", "-c:v", "copy", "-c:a", "aac", path)
            case "sound.m4a":
                ffmpeg(*TONE, "-c:a", "aac", path)
            case "sound.mp3":
                ffmpeg(*TONE, path)
            case "picture.png":
                ffmpeg("-i", closed, "-frames:v", "1", path)
            case "cover.mp3":
                cover = (
                    "-i",
                    clip("picture.png"),
                    "-map",
                    "0:a",
                    "-map",
                    "1:v",
                    "-c:v",
                    "copy",
                    "-disposition:v",
                    "attached_pic",
                )
                ffmpeg(*TONE, *cover, path)
            case "cover_first.mp4":
                cover = ("-map", "0:v", "-map", "1:v", "-c", "copy", "-disposition:v:0", "attached_pic")
                ffmpeg("-i", clip("picture.png"), "-i", closed, *cover, path)
            case "size_changes.ts":
                small = folder / "small.ts"
                encode(small, *CLOSED, "-vf", "scale=128:80")
                path.write_bytes(clip("plain.ts").read_bytes() + small.read_bytes())
            case "truncated.mp4":
                front = clip("faststart.mp4").read_bytes()
                path.write_bytes(front[: len(front) * 6 // 10])
            case "truncated.mkv":
                whole = clip("closed.mkv").read_bytes()
                path.write_bytes(whole[: len(whole) * 6 // 10])
            case "truncated_fragments.mp4":
                whole = clip("fragmented.mp4").read_bytes()
                path.write_bytes(whole[: len(whole) * 6 // 10])
            case "no_moov.mp4":
                path.write_bytes(data[: data.rindex(b"moov") - 4])
            case "middle_overwritten.mp4":
                noise = np.random.default_rng(1).bytes(len(data) // 20)
                at = len(data) // 2
                path.write_bytes(data[:at] + noise + data[at + len(noise) :])
            case "mostly_zero.mp4":
                a, b = len(data) * 25 // 100, len(data) * 85 // 100
                path.write_bytes(data[:a] + bytes(b - a) + data[b:])
            case "flipped.mp4":
                broken = bytearray(data)
                for at in np.random.default_rng(5).integers(4000, data.rindex(b"moov") - 8, 40):
                    broken[at] ^= 0x55
                path.write_bytes(bytes(broken))
            case "zero_bytes.mp4":
                path.write_bytes(b"")
            case "text.mp4":
                path.write_text("This is no video, whatever its name says.\n" * 50)
            case "page.mp4":
                path.write_text("<!DOCTYPE html><html><body>404</body></html>")
            case "playlist.mp4":
                path.write_text(
                    f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{clip('plain.ts')}\n#EXT-X-ENDLIST\n"
                )
            case _:
                raise KeyError(name)

    def clip(name: str) -> Path:
        path = folder / name
        if path.exists():
            return path
        partial = folder / "making" / name
        shutil.rmtree(partial.parent, ignore_errors=True)
        if name in ENCODED:
            partial.parent.mkdir()
            encode(partial, *ENCODED[name])
        elif name in DERIVED:
            before, after = DERIVED[name]
            source = clip("closed.mp4")
            partial.parent.mkdir(exist_ok=True)
            ffmpeg(*before, "-i", source, "-c", "copy", *after, partial)
        else:
            partial = folder / name
            special(name, partial)
            return path
        return partial.rename(path)

    return clip


@pytest.fixture
def small_files() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """A context in which no file of this process, or of a child, grows beyond a number of bytes."""
    resource = pytest.importorskip("resource", reason="Windows has no limit for the size of a file")

    @contextlib.contextmanager
    def limit(size_bytes: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit
