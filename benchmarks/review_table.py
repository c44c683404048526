"""How the table of samples feels with thousands of them: python -m benchmarks.review_table [COUNT]

Prints, for each thing a person does, the longest time the browser's page was busy without a break
(long tasks) and the time until the result stood on the screen, in milliseconds.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

# A multiple of two and three: each deed then ends as it began.
ROUNDS = 6
DOCUMENT = Path(__file__).parents[1] / "custom_ai" / "sample"

# The longest task since the last question; none is longer than 50 ms where it says 0.
_WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
}).observe({ type: "longtask" });
"""


def main(count: int) -> None:
    """Make the project, open the page, and do each thing several times."""
    with tempfile.TemporaryDirectory(prefix="review-table-") as home:
        os.environ |= {"CUSTOM_AI_HOME": home, "HF_HUB_OFFLINE": "1"}
        slug = _make_project(count)
        _measure(_serve(), slug, count)


def _make_project(count: int) -> str:
    from custom_ai.documents import library
    from custom_ai.projects import project as projects
    from tests.datasets.corpus import Watch, fill_journal

    project = projects.create("Many")
    library.add(project, [DOCUMENT], Watch(project.folder).step)
    fill_journal(project, count)
    return project.slug


def _serve() -> str:
    from custom_ai.ui.environment import prepare

    prepare()
    import uvicorn

    from custom_ai.ui.app import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(), port=0, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def _measure(address: str, slug: str, count: int) -> None:
    from playwright.sync_api import sync_playwright

    from tests.ui.conftest import find_browser

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        page.set_default_timeout(120_000)
        page.add_init_script(_WATCH)
        began = time.monotonic()
        page.goto(f"{address}/en/?project={slug}#samples")
        page.wait_for_selector(".rv-row:not(.waiting)")
        print(
            f"{count} samples; read and drawn for the first time: {time.monotonic() - began:.1f} s"
        )
        page.wait_for_timeout(1500)
        page.locator(".rv-row").first.click()
        for name, do in _deeds(page).items():
            _report(page, name, do)
        browser.close()


def _report(page: "Page", name: str, do: Callable[[int], None]) -> None:
    busy, until = [], []
    for number in range(ROUNDS):
        page.evaluate("window.longest = 0")
        began = time.monotonic()
        do(number)
        until.append((time.monotonic() - began) * 1000)
        page.wait_for_timeout(300)
        busy.append(page.evaluate("window.longest"))
    middle = statistics.median(until)
    print(
        f"{name:<28} busy at most {max(busy):4.0f}   done {middle:4.0f} (worst {max(until):4.0f})"
    )


def _deeds(page: "Page") -> dict[str, Callable[[int], None]]:
    def settled() -> None:
        page.wait_for_selector(".rv-row.waiting", state="detached")

    def wheel(_: int) -> None:
        page.locator(".rv-scroll").hover()
        for _ in range(20):
            page.mouse.wheel(0, 900)
            page.wait_for_timeout(16)
        settled()

    def jump(number: int) -> None:
        place = "this.scrollHeight * %.2f" % ((number % 4) / 4 + 0.1)
        page.locator(".rv-scroll").evaluate(
            f"(e) => (function () {{ e.scrollTop = {place} }}).call(e)"
        )
        page.wait_for_timeout(20)
        settled()

    def status(number: int) -> None:
        wanted = ("quarantined", "accepted", "")[number % 3]
        chip = page.locator(f".ca-kinds [data-status='{wanted}']")
        with page.expect_response("**/api/review?**"):
            chip.click()
        settled()

    def search(number: int) -> None:
        with page.expect_response("**/api/review?**"):
            page.locator("[data-filter=text]").fill(("water", "cooling", "")[number % 3])
        settled()

    def order(number: int) -> None:
        with page.expect_response("**/api/review?**"):
            page.locator("[data-filter=order]").select_option(
                ("document", "length", "written")[number % 3]
            )
        settled()

    def edit(number: int) -> None:
        page.locator(".rv-row.current").focus()
        page.keyboard.press("e")
        page.locator("[data-word=output]").fill(f"Another answer, number {number} of them.")
        with page.expect_response("**/words"):
            page.keyboard.press("Control+Enter")
        page.wait_for_selector(".rv-editor", state="detached")

    def decide(number: int) -> None:
        page.locator(".rv-row.current").focus()
        with page.expect_response("**/decide"):
            page.keyboard.press("ra"[number % 2])
        page.wait_for_function("document.querySelector('[data-said]').textContent")

    def move(_: int) -> None:
        page.locator(".rv-row.current").focus()
        for _ in range(20):
            page.keyboard.press("ArrowDown")
        settled()

    def all_of_them(number: int) -> None:
        page.locator(".rv-row.current").focus()
        with page.expect_response("**/ids**"):
            page.keyboard.press("Control+a")
        with page.expect_response("**/decide"):
            page.keyboard.press("ra"[number % 2])
        settled()

    return {
        "scroll by wheel, 20 turns": wheel, "scroll by hand, far": jump, "filter by status": status,
        "search": search, "sort": order, "20 rows down by key": move, "edit and save": edit,
        "accept or reject": decide, "accept or reject all": all_of_them,
    }  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
