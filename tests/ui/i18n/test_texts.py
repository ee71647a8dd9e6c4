"""Both languages say the same things."""

from dataclasses import replace

import pytest

from pipelines.errors import NotAVideo
from pipelines.spec import tasks
from ui.i18n import texts
from ui.i18n.messages import error_text
from ui.i18n.texts import i18n, input_key, page_words
from ui.i18n.words import LIVE, STATIC


@pytest.mark.parametrize("key", [*STATIC, *LIVE])
def test_every_text_has_both_languages(key: str) -> None:
    english, chinese = (STATIC | LIVE)[key]
    assert english and chinese


def test_each_task_labels_its_files_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    score = tasks()["score"]
    files = tuple(replace(each, label=("Clip", "片段")) for each in score.inputs)
    other = replace(score, name="toy", title=("Toy", "玩具"), inputs=files)
    monkeypatch.setattr(texts, "tasks", lambda: {**tasks(), "toy": other})
    for language, labels in (("en", ("Video", "Clip")), ("zh-CN", ("视频", "片段"))):
        words = i18n({}).translations[language]
        assert (words[input_key("score", "file")], words[input_key("toy", "file")]) == labels


def test_the_page_names_its_fields_instead_of_options() -> None:
    sentence = "Mark it with --source-box left,top, or use `--audio source` & --no-such-option."
    html = page_words(sentence)
    assert "“Source box”" in html and "“来源人脸框”" in html and "“Audio track”" in html
    assert "--source-box" not in html and "`" not in html
    assert "--no-such-option" in html and "&amp;" in html
    text = error_text(NotAVideo("Too long.", sentence))
    assert "“Source box” left,top, or use “Audio track” source & --no-such-option." in text
    assert "“Relative motion”" in page_words("Turn --relative-motion off")
