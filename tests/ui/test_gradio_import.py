"""Gradio leaves its own folder alone when we import it."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from custom_ai.ui import gradio_import
opened = []
def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".pyi"):
        opened.append(arguments[0])
sys.addaudithook(watch)
if sys.argv[1] == "ours":
    gradio_import.without_stubs()
    gradio_import.without_stubs()
import gradio as gr
with gr.Blocks(analytics_enabled=False):
    gr.Button().click(lambda: None)
print(len(opened))
"""


# "plain": when Gradio no longer does it by itself, gradio_import can go.
@pytest.mark.parametrize(("how", "opens"), [("ours", False), ("plain", True)])
def test_no_stub_file_is_opened_when_gradio_is_imported(how: str, opens: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    assert (int(done.stdout) > 0) is opens
