"""The names of Gradio's own controls in each language but English, for the script that writes them."""

import json

from ui.i18n.catalogue import CATALOGUES, ENGLISH


def names_script() -> str:
    """Pairs of what Gradio says and what is said instead, by language, as a script; the table `gradio` has them."""
    english = CATALOGUES[ENGLISH].tables["gradio"]
    names = {
        language: [(said, catalogue.text("gradio", key)) for key, said in english.items()]
        for language, catalogue in CATALOGUES.items()
        if language != ENGLISH
    }
    return f"window.longtakeNames = {json.dumps(names, ensure_ascii=False)};\n"
