"""The words of the page as pairs of English and Chinese, read from the catalogues."""

from ui.i18n.catalogue import CATALOGUES

_ENGLISH, _CHINESE = CATALOGUES["en"].tables, CATALOGUES["zh"].tables


def _pairs(table: str) -> dict[str, tuple[str, str]]:
    return {key: (text, _CHINESE[table].get(key, text)) for key, text in _ENGLISH[table].items()}


STATIC = _pairs("static")
"""Texts that stand on the page from the start, which Gradio translates: key -> (English, Chinese)."""

LIVE = _pairs("live")
"""Texts that are said while the page is used: key -> (English, Chinese)."""

FIELDS_ZH = {key: (text, _CHINESE["field_sentences"][key]) for key, text in _CHINESE["field_labels"].items()}
"""A setting's label and sentence in Chinese; the English ones are made from the settings model."""
