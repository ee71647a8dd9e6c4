"""Requests that are refused: the log in English, the sentence in the language of whoever asks."""

import re

import pytest

from ui.i18n.catalogue import CATALOGUES
from ui.i18n.refusals import Refusal

PLACEHOLDER = re.compile(r"\{(\w+)\}")
ENGLISH = CATALOGUES["en"].tables["refusals"]


@pytest.mark.parametrize("key", ENGLISH)
def test_each_refusal_is_told_in_the_language_of_the_browser_and_logged_in_english(key: str) -> None:
    values = {name: "42" for name in PLACEHOLDER.findall(ENGLISH[key])}
    why = Refusal(key, **values)
    english, chinese = why.to({}), why.to({"accept-language": "zh-CN,zh;q=0.9"})
    assert str(why) == english == why.to({"accept-language": "en-GB"}) and english.endswith(".")
    assert re.search(r"[\u3400-\u9fff]", chinese) and chinese.endswith("。")
    assert set(PLACEHOLDER.findall(CATALOGUES["zh"].text("refusals", key))) == set(values)
