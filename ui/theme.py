"""The theme of the page, light and dark; fonts are the system's."""

from pathlib import Path

import gradio as gr

from ui.i18n.texts import language_style

_HERE = Path(__file__).parent
CSS_PATHS = sorted((_HERE / "styles").glob("*.css"))
"""The style sheets, in the order in which they apply."""

SCRIPTS = {
    script.name: script.read_text(encoding="utf-8") for script in sorted((_HERE / "scripts").glob("*.js"))
}
"""The scripts of the page, by name."""

HEAD = language_style() + '<meta name="color-scheme" content="light dark">'
"""What else the head of the page holds."""


def theme() -> gr.themes.Base:
    """The Gradio theme: slate and one teal, no shadows, thin lines."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        # Not the fonts that Gradio brings: its semibold cuts have no Latin letters but a and b.
        font=(gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")),
        font_mono=(gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_shadow="none",
        block_label_background_fill="white",
        block_label_background_fill_dark="*neutral_900",
        block_label_text_color="*neutral_500",
        block_label_text_color_dark="*neutral_400",
        block_title_text_weight="500",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_width="1px",
        input_border_color="*neutral_200",
        input_border_color_dark="*neutral_800",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        button_primary_text_color="white",
    )
