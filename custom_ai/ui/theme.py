"""The look of Gradio's own widgets; everything else stands in static/style.css.

Both take their colours from the same scales: Gradio makes CSS variables of these.
"""

import gradio as gr

_GREY = gr.themes.Color(
    name="ca_grey", c50="#f8f9fb", c100="#f1f3f6", c200="#e4e7ec", c300="#d0d5dd", c400="#98a2b3",
    c500="#5d687b", c600="#475467", c700="#344054", c800="#1d2433", c900="#141a26", c950="#0d121b",
)  # fmt: skip
_BLUE = gr.themes.Color(
    name="ca_blue", c50="#eef5ff", c100="#d9e8ff", c200="#bcd7ff", c300="#8ebdff", c400="#599bff",
    c500="#2f78f2", c600="#1b5fdd", c700="#164db4", c800="#184290", c900="#193a73", c950="#142547",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """The theme of both modes; names ending in _dark are for the dark one."""
    base = gr.themes.Base(
        primary_hue=_BLUE,
        neutral_hue=_GREY,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
        font=["Inter Variable", "Inter", "Segoe UI", "system-ui", "sans-serif"],
        font_mono=["JetBrains Mono Variable", "Consolas", "monospace"],
    )
    return base.set(
        body_background_fill="#f6f7f9",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_800",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="#f6f7f9",
        background_fill_secondary_dark="*neutral_950",
        border_color_primary="*neutral_200",
        border_color_primary_dark="#232b3b",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_text_weight="550",
        block_title_text_weight="550",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_info_text_size="*text_sm",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        input_background_fill="#ffffff",
        input_background_fill_dark="#0f1520",
        input_border_color="*neutral_300",
        input_border_color_dark="#39445a",
        input_border_width="1px",
        input_radius="8px",
        input_shadow="0 1px 2px rgba(16,24,40,.04)",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_shadow_focus="0 0 0 3px rgba(47,120,242,.22)",
        button_border_width="1px",
        button_large_radius="8px",
        button_large_text_weight="550",
        button_large_padding="8px 16px",
        button_large_text_size="*text_md",
        button_small_radius="8px",
        button_small_text_weight="550",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="#ffffff",
        button_primary_border_color="*primary_600",
        button_primary_border_color_dark="*primary_600",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="*neutral_50",
        button_secondary_background_fill_dark="#1d2433",
        button_secondary_background_fill_hover_dark="#283044",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        checkbox_border_color_selected="*primary_600",
        checkbox_border_color_selected_dark="*primary_500",
        error_text_color="#b42318",
        error_text_color_dark="#fda29b",
        layout_gap="16px",
        form_gap_width="16px",
    )
