"""Fonts for charts: Pillow's own, and for what it has no letters, a wide one of the system."""

import os
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont

_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
_WIDE = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "FreeSans.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "SourceHanSans-Regular.ttc", "wqy-microhei.ttc"),
    *("wqy-zenhei.ttc", "NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf", "Symbola.ttf"),
)
"""Files of fonts with many letters, in the order in which they are asked."""
_NO_LETTER = "\U0010ffff"
"""No font has this one: it is drawn as what is missing."""


def runs(words: str, size_px: float) -> Iterator[tuple[str, Font]]:
    """Cut `words` into runs that one font has all letters of; letters of none stay with the first font."""
    for font, letters in groupby(words, lambda letter: _font_of(letter, size_px)):
        yield "".join(letters), font


@lru_cache(maxsize=4096)
def _font_of(letter: str, size_px: float) -> Font:
    own = _own(size_px)
    if _has(own, letter):
        return own
    return next((font for font in _of_the_system(size_px) if _has(font, letter)), own)


def _has(font: Font, letter: str) -> bool:
    return not letter.isprintable() or _drawn(font, letter) != _drawn(font, _NO_LETTER)


def _drawn(font: Font, letter: str) -> bytes:
    return bytes(font.getmask(letter))


@lru_cache(maxsize=32)
def _own(size_px: float) -> Font:
    font = ImageFont.load_default(size_px)
    assert isinstance(font, Font)  # the wheels of Pillow have FreeType
    return font


@lru_cache(maxsize=32)
def _of_the_system(size_px: float) -> tuple[Font, ...]:
    return tuple(font for path in _wide_files() if (font := _opened(path, size_px)))


def _opened(path: Path, size_px: float) -> Font | None:
    try:
        return ImageFont.truetype(path, size_px)
    except OSError:  # damaged, or of a kind that FreeType does not know
        return None


@lru_cache(maxsize=1)
def _wide_files() -> tuple[Path, ...]:
    found: dict[str, Path] = {}
    for folder in _FOLDERS:
        for place, _, names in os.walk(Path(folder).expanduser()):
            for name in set(names).intersection(_WIDE):
                found.setdefault(name, Path(place, name))
    return tuple(found[name] for name in _WIDE if name in found)
