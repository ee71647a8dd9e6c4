"""What requests are told that are refused before they are an event of the page: sentences of the table `refusals`."""

from collections.abc import Mapping
from typing import Self

from ui.i18n.catalogue import CATALOGUES, ENGLISH, catalogue_of


class Refusal(str):
    """Why a request is refused, as the log has it: in English. Keeps what it takes to say it in other languages."""

    key: str
    values: dict[str, str]

    def __new__(cls, key: str, **values: str) -> Self:
        """Make the refusal `key` of the catalogues, filled with `values`."""
        made = super().__new__(cls, _said(ENGLISH, key, values))
        made.key, made.values = key, values
        return made

    def to(self, headers: Mapping[str, str]) -> str:
        """Return the sentence in the language that the sender of `headers` reads."""
        return _said(catalogue_of(headers).language, self.key, self.values)


def _said(language: str, key: str, values: Mapping[str, str]) -> str:
    return CATALOGUES[language].text("refusals", key).format(**values)
