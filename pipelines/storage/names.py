"""File names that are not UTF-8: how paths are kept in JSON, and how names are shown.

Python decodes the bytes of such a name to lone surrogates (`surrogateescape`), which neither JSON nor UTF-8 can hold.
"""

import json
import os
import re
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
