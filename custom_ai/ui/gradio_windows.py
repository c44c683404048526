"""A new window of a Gradio page costs next to nothing.

Gradio 6.31 keeps the settings of every widget for every window, to make links to a state of the
page, and computes them anew for each: 20 ms of the processor for a page of ours, in the middle of
the first click. They are always the same, for what a window changes it changes in its own copy.
"""

from typing import Any

import gradio as gr


def share_settings(page: gr.Blocks) -> None:
    """Compute the settings of each widget once; call it when the page is drawn."""
    for block in page.blocks.values():
        setattr(block, "get_config", _Known(block.get_config()))  # noqa: B010


class _Known:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def __call__(self) -> dict[str, Any]:
        # A window writes the values it shows into it.
        return dict(self._settings)
