"""Text from outside: names that are not UTF-8 kept in JSON, and names and values that are quoted in messages.

Messages quote values by `quoted` and hostile names by `shortened`, 80 characters at most. A path that somebody gave on
the command line stays whole there, so that it can be copied from the message; the page and the API show its name,
shortened (`without_folders`).

Python decodes the bytes of such a name to lone surrogates (`surrogateescape`), which neither JSON nor UTF-8 can hold.
"""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pydantic import BaseModel, PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

_SURROGATE = re.compile("[\ud800-\udfff]")
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
"""The surrogates that stand for the bytes 0x80 to 0xff (PEP 383)."""
_URI = "file://"
"""No path begins like this, since pathlib folds the slashes: a URI is never taken for a path, nor a path for a URI."""


def printable(text: str) -> str:
    r"""Return `text` with `\xNN` for each byte that is not UTF-8, as shells write it; other text is unchanged."""
    return _SURROGATE.sub(lambda found: _escaped(ord(found[0])), text)


QUOTED_CHARACTERS = 80
"""The most that is quoted of a text from outside: a line of a terminal, and long enough to recognise a name by."""

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that end a line or change its direction: in a log they could pass for another line."""


_LONG_WORD = re.compile(rf"\S{{{QUOTED_CHARACTERS + 1},}}")


def shortened(text: str, most: int = QUOTED_CHARACTERS) -> str:
    """Return `text` from outside on one line, the middle left out where it has more than `most` characters."""
    shown = printable(_without_middle(text, most))
    return _without_middle(_CONTROLS.sub(lambda found: ascii(found[0])[1:-1], shown), most)


def quoted(value: object) -> str:
    """Return `value` from outside in quotes, as messages quote it: `shortened`."""
    if isinstance(value, str):
        return f"'{shortened(value)}'"
    try:
        return shortened(repr(value))
    except (ValueError, RecursionError):  # an integer of thousands of digits; lists in lists
        return f"a value of type {type(value).__name__}"


def brief(message: str) -> str:
    """Return `message` with each word of more than 80 characters shortened, where it quoted something whole."""
    return _LONG_WORD.sub(lambda word: shortened(word[0]), message)


def _without_middle(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def without_folders(message: str, paths: Iterable[Path]) -> str:
    """Return `message` with the shortened name in place of each of `paths`: where a visitor's files lie is not told."""
    for path in sorted(paths, key=lambda path: -len(str(path))):
        for written in {str(path), printable(str(path))}:
            message = message.replace(written, path.name)
        # Also where a message had the name alone.
        message = message.replace(path.name, shortened(path.name))
    return message


def write_path(path: Path) -> str:
    """Return `path` as text that UTF-8 can hold: itself, or a file URI (RFC 8089) where its name is not UTF-8."""
    text = str(path)
    return _URI + quote_from_bytes(os.fsencode(text)) if _SURROGATE.search(text) else text


def read_path(text: str) -> Path:
    """Return the path that `write_path` wrote as `text`."""
    return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_URI))) if text.startswith(_URI) else text)


def _read(value: Any, otherwise: ValidatorFunctionWrapHandler) -> Any:
    # Pydantic's own validator refuses surrogates.
    return read_path(value) if isinstance(value, str) and value.startswith(_URI) else otherwise(value)


StoredPath = Annotated[
    Path, WrapValidator(_read), PlainSerializer(write_path, return_type=str, when_used="json")
]
"""A path in a model that is kept or sent as JSON."""


def to_json(model: BaseModel, *, indent: int | None = None) -> bytes:
    """Return `model` as JSON in UTF-8: paths by `write_path` and other text by `printable` where it is not UTF-8."""
    try:
        return model.model_dump_json(indent=indent).encode()
    except ValueError:  # what pydantic raises for a lone surrogate
        plain = encodable(model.model_dump(by_alias=True))
        separators = (",", ":") if indent is None else (",", ": ")
        return json.dumps(plain, ensure_ascii=False, indent=indent, separators=separators).encode()


def encodable(value: Any) -> Any:
    """Return `value`, of which JSON is to be made, with each text and path as UTF-8 can hold it."""
    match value:
        case str():
            return printable(value)
        case Path():
            return write_path(value)
        case dict():
            return {encodable(key): encodable(each) for key, each in value.items()}
        case list() | tuple():
            return [encodable(each) for each in value]
        case _:
            return value


def _escaped(code: int) -> str:
    is_byte = _FIRST_BYTE <= code <= _LAST_BYTE
    return f"\\x{code - 0xDC00:02x}" if is_byte else f"\\u{code:04x}"
