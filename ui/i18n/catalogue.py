"""The catalogues of words, one a language, and the language of the request that is being answered.

A catalogue is a file `catalogues/<language>.toml`; English has every text, and stands in for what another lacks. So a
new language is one new file.
"""

import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "catalogues"
ENGLISH = "en"


@dataclass(frozen=True)
class Catalogue:
    """The words of one language. `locales` are the browsers' names of it; `tables` map keys to texts, by subject."""

    language: str
    name: str
    locales: tuple[str, ...]
    tables: dict[str, dict[str, str]]

    def find(self, table: str, key: str) -> str | None:
        """Return a text, or the English one; None where there is neither."""
        found = self.tables.get(table, {}).get(key)
        if found is None and self.language != ENGLISH:
            return CATALOGUES[ENGLISH].find(table, key)
        return found

    def text(self, table: str, key: str) -> str:
        """Return a text that there is. Raises KeyError."""
        found = self.find(table, key)
        if found is None:
            raise KeyError(f"{table}.{key}")
        return found


def load(path: Path) -> Catalogue:
    """Read the catalogue at `path`."""
    parsed = tomllib.loads(path.read_text(encoding="utf-8"))
    name, locales = parsed.pop("name"), tuple(parsed.pop("locales"))
    return Catalogue(path.stem, name, locales, parsed)


CATALOGUES = {path.stem: load(path) for path in (FOLDER / f"{ENGLISH}.toml", *sorted(FOLDER.glob("*.toml")))}
"""All languages, English first."""

_current: ContextVar[Catalogue | None] = ContextVar("language", default=None)


def language_of(headers: Mapping[str, str]) -> str:
    """Return the language that a browser asks for first, as Gradio's page takes it; English where that is unknown."""
    first = headers.get("accept-language", "").split(",")[0].partition(";")[0].strip().lower()
    return next((each for each in CATALOGUES if each == first.partition("-")[0]), ENGLISH)


def catalogue_of(headers: Mapping[str, str]) -> Catalogue:
    """Return the catalogue in which a request is refused before it is an event: English for programs."""
    return CATALOGUES[language_of(headers)]


def current() -> Catalogue | None:
    """Return the catalogue of the request that is being answered; None where several visitors get one text."""
    return _current.get()


@contextmanager
def speaking(language: str) -> Generator[None]:
    """Answer in `language` in the body: every text is in this language alone."""
    token = _current.set(CATALOGUES[language])
    try:
        yield
    finally:
        _current.reset(token)
