"""Both languages say the same things."""

import pytest

from pipelines import errors
from pipelines.errors import LongtakeError, NotAVideo
from ui.i18n.texts import error_text
from ui.i18n.words import ERRORS_ZH, LIVE, STATIC


def kinds() -> list[type[LongtakeError]]:
    found = [LongtakeError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("key", [*STATIC, *LIVE])
def test_every_text_has_both_languages(key: str) -> None:
    english, chinese = (STATIC | LIVE)[key]
    assert english and chinese


def test_every_error_that_a_visitor_may_meet_has_a_chinese_sentence() -> None:
    of_the_command_line = {"some_failed", "cancelled"}
    assert {kind.code for kind in kinds()} - of_the_command_line <= set(ERRORS_ZH)


def test_an_error_tells_message_hint_and_code_in_both_languages() -> None:
    text = error_text(NotAVideo("a.mp4 is empty.", "Choose another."))
    for part in ("a.mp4 is empty.", "Choose another.", ERRORS_ZH["not_a_video"], "not_a_video"):
        assert part in text
