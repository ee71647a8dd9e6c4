"""Masks, whatever they come as: one a frame, exact, from any frame on; and what is refused, with what to do."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import BadInput, DamagedVideo, LongtakeError, OverLimit
from pipelines.masks.sequence import Masks, dilate, open_masks, reject_unusable
from pipelines.spans import Span

from ..mask_clips import HEIGHT, WIDTH, disc, encode, white

N = 11


def read(masks: Masks, start: int = 0, stop: int = N) -> np.ndarray:
    return np.stack(list(masks.read(start, stop)))


def palette(mask: np.ndarray) -> Image.Image:
    """As DAVIS has it: object 1 is dark red."""
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


def dark_palette(mask: np.ndarray) -> Image.Image:
    """Object 2 is darker than half of white in each colour."""
    image = Image.fromarray(mask.astype(np.uint8) * 2)
    image.putpalette([0, 0, 0, 255, 255, 255, 64, 0, 64])
    return image


def turned_palette(mask: np.ndarray) -> Image.Image:
    """As a program that saves space has it: white comes first."""
    image = Image.fromarray((~mask).astype(np.uint8))
    image.putpalette([255, 255, 255, 0, 0, 0])
    return image


def alpha(mask: np.ndarray) -> Image.Image:
    """Black paint on nothing."""
    return Image.fromarray(np.dstack([np.zeros((*mask.shape, 3), np.uint8), mask.astype(np.uint8) * 255]))


def gray_alpha(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([np.full(mask.shape, 255, np.uint8), mask.astype(np.uint8) * 255]))


def opaque(mask: np.ndarray) -> Image.Image:
    """White paint on a black ground that is there."""
    return white(mask).convert("RGBA")


def half_painted(mask: np.ndarray) -> Image.Image:
    """A brush that lets half of the picture through, its edges softer still."""
    paint = np.where(mask, 128, np.where(np.roll(mask, 1, axis=1), 40, 0)).astype(np.uint8)
    return Image.fromarray(np.dstack([np.full((*mask.shape, 3), 200, np.uint8), paint]))


ACCEPTED: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "white": white,
    "zeros and ones": lambda m: Image.fromarray(m.astype(np.uint8)),
    "one bit": lambda m: white(m).convert("1"),
    "16 bits": lambda m: Image.fromarray(m.astype(np.uint16) * 65535),
    "16 bits with 8 in use": lambda m: Image.fromarray(m.astype(np.uint16) * 255),
    "soft edges": lambda m: Image.fromarray(np.where(m, 200, 90).astype(np.uint8)),
    "red": lambda m: Image.fromarray(m[..., None] * np.array([255, 0, 0], np.uint8)),
    "16 bits with soft edges": lambda m: Image.fromarray(np.where(m, 40_000, 20_000).astype(np.uint16)),
    "palette": palette,
    "dark palette": dark_palette,
    "turned palette": turned_palette,
    "alpha": alpha,
    "gray and alpha": gray_alpha,
    "opaque": opaque,
    "half painted": half_painted,
}


@pytest.mark.parametrize("draw", ACCEPTED.values(), ids=ACCEPTED)
def test_each_kind_of_picture_means_what_was_meant(draw, folder_of, discs, video) -> None:
    masks = open_masks(folder_of(discs(N), draw), video(N))
    assert not masks.still
    assert np.array_equal(read(masks), discs(N)), "in natural order: 2 before 10"


@pytest.mark.parametrize("kind", ["zeros and ones", "palette", "alpha", "16 bits"])
def test_the_first_picture_that_marks_anything_decides_for_all(kind, folder_of, discs, video) -> None:
    pictures = [np.zeros((HEIGHT, WIDTH), bool)] * 3 + discs(4) + [np.zeros((HEIGHT, WIDTH), bool)] * 4
    masks = open_masks(folder_of(pictures, ACCEPTED[kind]), video(N))
    assert np.array_equal(read(masks), pictures)
    assert np.array_equal(read(masks, 4, 9), pictures[4:9])


def test_a_dim_picture_goes_by_the_bright_ones_before_it(folder_of, discs, video) -> None:
    folder = folder_of(discs(2), white)
    Image.fromarray(disc(0).astype(np.uint8)).save(folder / "2.png")
    assert read(open_masks(folder, video(2)), 0, 2)[1].sum() == 0, "1 of 255 is noise here"


def test_a_picture_of_another_kind_goes_by_its_own_numbers(folder_of, discs, video) -> None:
    folder = folder_of(discs(2), palette)
    white(disc(1)).save(folder / "2.png")
    assert np.array_equal(read(open_masks(folder, video(2)), 0, 2), discs(2))


def test_a_fully_transparent_picture_marks_nothing_whatever_its_colour(folder_of, discs, video) -> None:
    pictures = [np.zeros((HEIGHT, WIDTH), bool), *discs(2)]
    assert np.array_equal(read(open_masks(folder_of(pictures, gray_alpha), video(3)), 0, 3), pictures)


def test_noise_of_a_lossy_picture_decides_nothing(tmp_path: Path, discs, video) -> None:
    Image.fromarray(np.full((HEIGHT, WIDTH), 1, np.uint8)).save(tmp_path / "0.jpg")
    white(disc(0)).save(tmp_path / "1.jpg", quality=95)
    found = read(open_masks(tmp_path, video(2)), 0, 2)
    assert found[0].sum() == 0 and np.array_equal(found[1], disc(0))


def test_one_picture_is_for_all_frames(tmp_path: Path, video) -> None:
    white(disc(0)).save(tmp_path / "mask.png")
    masks = open_masks(tmp_path / "mask.png", video(N))
    assert masks.still
    assert np.array_equal(read(masks), [disc(0)] * N)


def test_one_picture_upright_as_its_exif_says(tmp_path: Path, video) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(disc(0)).astype(np.uint8) * 255).save(tmp_path / "mask.png", exif=exif)
    assert np.array_equal(read(open_masks(tmp_path / "mask.png", video(1)), 0, 1)[0], disc(0))


FILMS = {
    "lossless.mp4": ("-c:v", "libx264", "-qp", "0"),
    "usual.mp4": ("-c:v", "libx264", "-crf", "23", "-pix_fmt", "yuv420p", "-g", "4"),
    "exact.mkv": ("-c:v", "ffv1"),
    "moving.gif": (),
}


@pytest.mark.parametrize("name", FILMS)
def test_a_mask_film_from_any_frame_on(name: str, tmp_path: Path, video) -> None:
    large = [np.repeat(np.repeat(disc(i), 4, 0), 4, 1) for i in range(N)]
    film = encode(tmp_path / name, [m.astype(np.uint8) * 255 for m in large], *FILMS[name])
    masks = open_masks(film, video(N, 4 * WIDTH, 4 * HEIGHT))
    found = read(masks)
    assert np.mean(found != large) < 1e-3
    assert np.array_equal(read(masks, 6, 9), found[6:9])


def test_a_gif_of_one_picture_is_for_all_frames(tmp_path: Path, video) -> None:
    white(disc(0)).save(tmp_path / "mask.gif")
    assert np.array_equal(read(open_masks(tmp_path / "mask.gif", video(3)), 0, 3), [disc(0)] * 3)


def test_reading_a_part_reads_no_more_than_that(folder_of, discs, video) -> None:
    folder = folder_of(discs(N), white)
    masks = open_masks(folder, video(N))
    read(masks, 0, 1)
    for number in (1, 2, 8, 11):
        (folder / f"{number}.png").write_bytes(b"gone")
    assert np.array_equal(read(masks, 2, 7), discs(N)[2:7])


def test_another_size_is_resized_to_the_nearest_pixel(folder_of, discs, video) -> None:
    masks = open_masks(folder_of(discs(2), white), video(2, 3 * WIDTH, 3 * HEIGHT))
    assert np.array_equal(read(masks, 0, 2)[1], np.repeat(np.repeat(disc(1), 3, 0), 3, 1))


def test_another_shape_is_refused_with_both_sizes(folder_of, discs, video) -> None:
    masks = open_masks(folder_of(discs(2), white), video(2, HEIGHT, WIDTH))
    with pytest.raises(BadInput, match=rf"{WIDTH}x{HEIGHT}, the video {HEIGHT}x{WIDTH}"):
        read(masks, 0, 2)


def test_the_shape_may_be_that_of_the_shown_picture(folder_of, discs, video) -> None:
    masks = open_masks(folder_of(discs(2), white), video(2, WIDTH, 2 * HEIGHT, sample_aspect_ratio=2))
    assert read(masks, 0, 2).shape == (2, 2 * HEIGHT, WIDTH)


def test_inverted(folder_of, discs, video) -> None:
    masks = open_masks(folder_of([~m for m in discs(2)], white), video(2), invert=True)
    assert np.array_equal(read(masks, 0, 2), discs(2))


def test_dilation_grows_a_diamond_that_stops_at_the_border() -> None:
    mask = np.zeros((9, 11), bool)
    mask[4, 2] = True
    y, x = np.mgrid[:9, :11]
    assert np.array_equal(dilate(mask, 3), abs(y - 4) + abs(x - 2) <= 3)
    assert dilate(mask, 0) is mask
    assert mask.sum() == 1


@pytest.mark.parametrize(("masks", "frames"), [(3, 5), (5, 3)])
def test_as_many_masks_as_frames_or_one(masks: int, frames: int, folder_of, discs, video) -> None:
    with pytest.raises(BadInput, match=rf"{masks} masks in .* for {frames} frames") as caught:
        open_masks(folder_of(discs(masks), white), video(frames))
    assert "one mask for all frames" in caught.value.hint


EMPTY = np.zeros((HEIGHT, WIDTH), bool)


def test_masks_that_are_empty_throughout_are_refused(folder_of, video) -> None:
    masks = open_masks(folder_of([EMPTY] * 3, white), video(3))
    with pytest.raises(BadInput, match="is empty: it marks no pixel of frames 0 to 2") as caught:
        reject_unusable(masks, Span(0, 3))
    assert "--invert" in caught.value.hint


def test_only_the_frames_that_are_asked_for_count(folder_of, discs, video) -> None:
    masks = open_masks(folder_of([*discs(2), EMPTY, EMPTY], white), video(4))
    reject_unusable(masks, Span(0, 4))
    reject_unusable(masks, Span(1, 3))
    with pytest.raises(BadInput, match="frames 2 to 3"):
        reject_unusable(masks, Span(2, 4))


def test_a_layer_that_marks_all_is_refused(folder_of, discs, video) -> None:
    full = np.ones((HEIGHT, WIDTH), bool)
    masks = open_masks(folder_of([EMPTY, full, disc(0)], white), video(3))
    with pytest.raises(BadInput, match="mask of frame 1 marks 100% of the frame; at most 95%"):
        reject_unusable(masks, Span(0, 3))


def test_a_mask_of_nearly_all_is_a_mask(tmp_path: Path, video) -> None:
    nearly = np.ones((HEIGHT, WIDTH), bool)
    nearly[:, :4] = False
    white(nearly).save(tmp_path / "one.png")
    reject_unusable(open_masks(tmp_path / "one.png", video(3)), Span(0, 3))


@pytest.mark.parametrize("make", ["missing", "empty folder", "text", "sound", "unreadable"])
def test_what_holds_no_masks_is_refused_with_what_would(make: str, tmp_path: Path, video) -> None:
    path = tmp_path / "mask"
    if make == "empty folder":
        path.mkdir()
    elif make == "text":
        path.write_text("hello\n" * 100)
    elif make == "sound":
        path = encode(
            tmp_path / "m.wav", [disc(0).astype(np.uint8)] * 9, "-f", "lavfi", "-i", "sine=d=1", "-map", "1:a"
        )
    elif make == "unreadable":
        path.mkdir()
        (path / "0.txt").write_text("no picture")
    with pytest.raises(BadInput) as caught:
        open_masks(path, video())
    assert "zip of images" in caught.value.hint


def test_a_damaged_picture_is_named(folder_of, discs, video) -> None:
    folder = folder_of(discs(3), white)
    data = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedVideo, match=r"2\.png is damaged"):
        read(open_masks(folder, video(3)), 0, 3)


def test_a_film_cut_short_is_damaged(tmp_path: Path, video) -> None:
    frames = [np.random.default_rng(i).integers(0, 256, (HEIGHT, WIDTH), np.uint8) for i in range(40)]
    film = encode(tmp_path / "m.mp4", frames, "-c:v", "libx264", "-movflags", "+faststart")
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with pytest.raises(DamagedVideo) as caught:
        open_masks(film, video(40))
    assert "Make the mask again" in caught.value.hint


def test_pages_in_one_file_are_refused(tmp_path: Path, discs, video) -> None:
    pages = [white(m) for m in discs(3)]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(BadInput, match="holds 3 images in one file"):
        read(open_masks(tmp_path / "m.tif", video(3)), 0, 3)


def header(width: int, height: int) -> bytes:
    """A PNG of which there is no more than its size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [5000, 50_000])
def test_a_picture_far_larger_than_the_video_is_not_decoded(side: int, tmp_path: Path, video) -> None:
    (tmp_path / "m.png").write_bytes(header(side, side))
    with pytest.raises(OverLimit, match="up to 16777216 are read"):
        read(open_masks(tmp_path / "m.png", video()), 0, 1)


# -- zips ----------------------------------------------------------------------------------------------------


def png(mask: np.ndarray) -> bytes:
    data = io.BytesIO()
    white(mask).save(data, "PNG")
    return data.getvalue()


def zipped(path: Path, members: dict[str, bytes], **more: object) -> Path:
    with zipfile.ZipFile(path, "w", **more) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def test_a_zip_in_natural_order_and_from_any_frame_on(tmp_path: Path, discs, video) -> None:
    members = {f"masks/{i + 1}.png": png(m) for i, m in enumerate(discs(N))}
    litter = {"masks/": b"", "__MACOSX/masks/._1.png": b"x", "masks/.hidden.png": b"x", "read me.txt": b"x"}
    path = zipped(
        tmp_path / "m.zip", dict(sorted({**members, **litter}.items())), compression=zipfile.ZIP_DEFLATED
    )
    masks = open_masks(path, video(N))
    assert np.array_equal(read(masks), discs(N))
    assert np.array_equal(read(masks, 5, 8), discs(N)[5:8])


def test_a_zip_without_that_name(tmp_path: Path, discs, video) -> None:
    path = zipped(tmp_path / "masks", {"1.png": png(disc(0))})
    assert np.array_equal(read(open_masks(path, video(3)), 0, 3), [disc(0)] * 3)


def test_large_members_that_are_only_stored(tmp_path: Path, video) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 750), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG")
    assert len(data.getvalue()) > 2**18
    path = zipped(tmp_path / "m.zip", {"0.png": data.getvalue()})
    assert np.array_equal(read(open_masks(path, video(1, 750, 500)), 0, 1)[0], noise > 127)


NAMES = [
    "../0.png",
    "masks/../../0.png",
    "/etc/0.png",
    "C:\\0.png",
    "..\\0.png",
    "\\\\host\\share\\0.png",
    "../x/",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_outside_are_refused(name: str, tmp_path: Path, video) -> None:
    path = zipped(tmp_path / "m.zip", {"0.png": png(disc(0)), name: png(disc(1))})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput, match="leads outside"):
        open_masks(path, video(2))
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"


def test_links_are_refused(tmp_path: Path, video) -> None:
    link = zipfile.ZipInfo("0.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(BadInput, match="it is a link"):
        open_masks(tmp_path / "m.zip", video(1))


def patched(path: Path, name: bytes, at: int, value: bytes) -> Path:
    """Change a field of the listing's entry for `name`."""
    data = bytearray(path.read_bytes())
    entry = data.rindex(name) - 46
    assert data[entry : entry + 4] == b"PK\x01\x02"
    data[entry + at : entry + at + len(value)] = value
    path.write_bytes(data)
    return path


FLAGS, METHOD, UNPACKED = 8, 10, 24


def test_an_encrypted_member_is_refused(tmp_path: Path, video) -> None:
    path = patched(zipped(tmp_path / "m.zip", {"0.png": png(disc(0))}), b"0.png", FLAGS, b"\x01\x00")
    with pytest.raises(BadInput, match="it is encrypted"):
        open_masks(path, video(1))


def test_an_archive_inside_is_refused(tmp_path: Path, video) -> None:
    path = zipped(tmp_path / "m.zip", {"0.png": png(disc(0)), "more.ZIP": b"PK"})
    with pytest.raises(BadInput, match=r"'more\.ZIP': it is an archive itself"):
        open_masks(path, video(1))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_bound_are_refused(method: int, tmp_path: Path, video) -> None:
    path = zipped(tmp_path / "m.zip", {"0.png": png(disc(0))}, compression=method)
    with pytest.raises(BadInput, match="method other than deflate"):
        open_masks(path, video(1))


def test_a_member_of_two_gigabytes_is_refused_before_it_is_unpacked(
    tmp_path: Path, video, monkeypatch
) -> None:
    path = zipped(tmp_path / "m.zip", {"0.png": bytes(1000)}, compression=zipfile.ZIP_DEFLATED)
    patched(path, b"0.png", UNPACKED, struct.pack("<I", 2**31 - 1))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *a, **k: pytest.fail("unpacked"))
    with pytest.raises(OverLimit, match="unpacks to 2147483647 bytes; up to 134283264 are read"):
        open_masks(path, video(1))


def test_a_member_that_lies_about_its_size_gives_no_more_than_it_said(tmp_path: Path, video) -> None:
    path = zipped(tmp_path / "m.zip", {"0.png": bytes(10**7)}, compression=zipfile.ZIP_DEFLATED)
    masks = open_masks(patched(path, b"0.png", UNPACKED, struct.pack("<I", 1000)), video(1))
    with pytest.raises(DamagedVideo, match=r"0\.png in .* is damaged"):
        read(masks, 0, 1)


def test_a_picture_bomb_inside_a_zip_is_not_decoded(tmp_path: Path, video) -> None:
    path = zipped(tmp_path / "m.zip", {"0.png": header(40_000, 40_000)})
    with pytest.raises(OverLimit, match=r"m\.zip \(0\.png\) has far more pixels"):
        read(open_masks(path, video(1)), 0, 1)


def test_far_more_members_than_frames_are_not_even_listed(tmp_path: Path, video) -> None:
    members = {f"{i:0100}.png": b"" for i in range(600)}
    path = zipped(tmp_path / "m.zip", members)
    with pytest.raises(OverLimit, match="far more members than the video has frames"):
        open_masks(path, video(5))
    with pytest.raises(BadInput, match=r"600 masks in .* for 300 frames"):
        open_masks(path, video(300))


@pytest.mark.parametrize("data", [b"PK\x03\x04 and no more", b"PK\x05\x06" + bytes(10)])
def test_a_broken_zip_is_named(data: bytes, tmp_path: Path, video) -> None:
    (tmp_path / "m.zip").write_bytes(data)
    with pytest.raises(BadInput, match="is not a readable zip"):
        open_masks(tmp_path / "m.zip", video(1))


def test_a_zip_with_any_damaged_byte_is_read_or_named(tmp_path: Path, video) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(picture, "PNG")
    path = zipped(tmp_path / "m.zip", {"ü.png": picture.getvalue()}, compression=zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    named = 0
    for at in range(len(data)):
        for flip in (1, 128, 255):
            path.write_bytes(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
            try:
                read(open_masks(path, video(1)), 0, 1)
            except LongtakeError:
                named += 1
    assert named > len(data)


def test_a_zip_without_pictures(tmp_path: Path, video) -> None:
    with pytest.raises(BadInput, match="holds no images"):
        open_masks(zipped(tmp_path / "m.zip", {"0.txt": b"x"}), video(1))


def test_masks_of_a_real_sequence(shared: Path) -> None:
    from pipelines.video.probe import probe

    video = probe(shared / "samples/bmx-trees.mp4")
    masks = open_masks(shared / "samples/bmx-trees_mask", video)
    reject_unusable(masks, Span(0, video.frames))
    found = read(masks, 0, video.frames)
    assert found.shape == (80, 240, 432) and 0.005 < found.mean() < 0.1


def test_another_shape_is_stretched_on_request(folder_of, discs, video) -> None:
    found = read(open_masks(folder_of(discs(2), white), video(2, WIDTH, 3 * HEIGHT), scale=True), 0, 2)
    assert np.array_equal(found[1], np.repeat(disc(1), 3, 0)), "by nearest neighbour"
