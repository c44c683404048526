import gradio as gr
from custom_ai.ui.screen import Screen, html, fragment
def draw(screen: Screen) -> None:
    html("<div class='ca-card'>samples</div>")
