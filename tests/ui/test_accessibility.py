"""No screen has a barrier of level serious or critical, in light and dark, as axe-core sees it."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from custom_ai.projects.project import Project
from custom_ai.texts import LANGUAGES
from custom_ai.ui.journey import STEPS
from tests.ui.conftest import OpenPage
from tests.ui.surviving import project_before

BARRIERS = ("serious", "critical")

# The name of what has the focus (null for the page itself), and how it shows it.
FOCUSED = """(() => {
  const at = document.activeElement;
  if (at === document.body) return [null, ""];
  const style = getComputedStyle(at);
  const name = at.getAttribute("aria-label") || at.innerText.trim() || at.id;
  return [name, `${style.boxShadow} ${style.outlineStyle}`];
})()"""


@pytest.fixture
def project(own_home: object) -> Project:
    """A project that was taken to the exam, so that no screen is empty."""
    return project_before("evaluate")


def barriers(page: object) -> list[str]:
    """What axe finds, with the first element of each."""
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:160]}" for v in found if v["impact"] in BARRIERS]


def test_every_screen_of_a_filled_project(open_page: OpenPage, project: Project) -> None:
    wrong = {}
    for mode, lang in zip(("light", "dark"), LANGUAGES, strict=True):
        page = open_page(lang, project.slug, color_scheme=mode, reduced_motion="reduce")
        for step in STEPS:
            page.locator(f"#step-{step}-button").click()
            page.locator(f"#step-{step} .ca-card").first.wait_for()
            page.wait_for_timeout(800)
            if found := barriers(page):
                wrong[f"{step}, {mode}"] = found
    assert wrong == {}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_first_page_and_its_menus(open_page: OpenPage, mode: str) -> None:
    page = open_page("de", color_scheme=mode)
    page.locator(".ca-welcome h1").wait_for()
    assert barriers(page) == []
    page.locator(".ca-switcher summary").click()
    page.locator("details.ca-menu[open]").wait_for()
    assert barriers(page) == []
    page.get_by_role("button", name="Archiv öffnen …").first.click()
    page.locator("dialog[open]").wait_for()
    assert barriers(page) == []


def test_everything_can_be_reached_by_keyboard_and_shows_where_it_is(open_page: OpenPage) -> None:
    page = open_page("en")
    page.locator(".ca-welcome h1").wait_for()
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name, ring = page.evaluate(FOCUSED)
        if name is None:
            break
        assert ring != "none none", f"no visible focus on {name}"
        seen.append(name)
    assert {"No project open", "DE", "Dark", "first-project", "Create project"} <= set(seen)
