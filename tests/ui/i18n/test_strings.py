"""The list of all texts in the documentation."""

from pathlib import Path

from ui.strings import document

LIST = Path(__file__).parents[3] / "docs/strings.md"


def test_the_list_of_all_texts_is_that_of_the_catalogues() -> None:
    assert LIST.read_text(encoding="utf-8") == document(), "run python -m ui.strings > docs/strings.md"
