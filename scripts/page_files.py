"""Write down which of Gradio's files the page loads, for ui/warming.py.

python -m scripts.page_files

To be run after an update of Gradio, or when a tab uses a widget of a new kind; a test notices.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from custom_ai.projects import project as projects
from custom_ai.ui.window import window_program

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "custom_ai" / "ui" / "static" / "page_files.txt"
NOTE = "# Files of Gradio that the page loads. Written by: python -m scripts.page_files"


def main() -> int:
    """Open the page and write the list."""
    from playwright.sync_api import sync_playwright

    names: set[str] = set()
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        os.environ["CUSTOM_AI_HOME"] = home
        slug = projects.create("Page").slug
        command = [sys.executable, "-m", "custom_ai", "ui", "--no-browser", "--json"]
        app = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert app.stdout
            url = json.loads(app.stdout.readline())["url"]
            browser = play.chromium.launch(executable_path=window_program(), args=["--no-sandbox"])
            page = browser.new_page()
            page.on("request", lambda r: names.add(r.url.partition("/en/assets/")[2]))
            page.goto(url)
            page.wait_for_selector("body[data-ready]", timeout=60_000)
            page.goto(f"{url.partition('/?')[0]}/en/?project={slug}")
            page.wait_for_selector("body[data-ready]", timeout=60_000)
            for tab in page.locator("#steps > .tab-wrapper [role=tab]").all():
                tab.click()
                page.wait_for_timeout(500)
            browser.close()
        finally:
            app.kill()
            app.wait()
    TARGET.write_text("\n".join([NOTE, *sorted(filter(None, names))]) + "\n", encoding="utf-8")
    print(f"{len(names) - 1} files in {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
