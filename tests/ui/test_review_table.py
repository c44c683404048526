"""The table of samples in a real browser: by mouse, by keyboard, and with ten thousand rows."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from custom_ai.datasets.review import Review
from custom_ai.projects.project import Project
from tests.ui.conftest import OpenPage
from tests.ui.samples_of import import_rows, project_with_samples, repeat_an_answer, statuses

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_with_samples(tmp_path)


def table(open_page: OpenPage, project: Project, lang: str = "en") -> "Page":
    """The page, once the rows are there."""
    page = open_page(lang, project.slug, "samples")
    page.locator(".rv-row:not(.waiting)").first.wait_for()
    return page


def row(page: "Page", number: int) -> str:
    """The place of a row, the first one being 1."""
    return f".rv-row[aria-rowindex='{number + 1}']"


def id_of(page: "Page", number: int) -> str:
    return str(page.locator(row(page, number)).evaluate("(element) => element.row.id"))


def said(page: "Page", text: str) -> None:
    page.locator("[data-said]").get_by_text(text, exact=True).wait_for()


def focused(page: "Page") -> str | None:
    return page.evaluate("document.activeElement.getAttribute('aria-rowindex')")  # type: ignore[no-any-return]


def chip(page: "Page", status: str) -> int:
    text = page.locator(f".ca-kinds [data-status='{status}'] span").inner_text()
    return int(text.replace(",", "").replace(".", ""))


def test_samples_are_reviewed_by_keyboard_alone_and_the_focus_stays(
    open_page: OpenPage, project: Project
) -> None:
    page = table(open_page, project)
    page.locator(row(page, 1)).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    assert focused(page) == "4"
    third = id_of(page, 3)
    page.keyboard.press("r")
    said(page, "Rejected.")
    assert focused(page) == "4" and statuses(project)[third] == "rejected"
    page.keyboard.press("Control+z")
    said(page, "Undone.")
    assert statuses(project)[third] == "accepted"
    page.keyboard.press("r")
    said(page, "Rejected.")
    page.keyboard.press("u")
    said(page, "Restored: as it came.")
    assert statuses(project)[third] == "accepted" and focused(page) == "4"
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.dataset.filter") == "text"


def test_an_edit_counts_as_saved_when_the_server_has_it(
    open_page: OpenPage, project: Project
) -> None:
    page = table(open_page, project)
    id_ = id_of(page, 3)
    page.locator(row(page, 3)).focus()
    page.keyboard.press("Enter")
    page.get_by_label("Question").last.fill("What is new here?")
    page.keyboard.press("Control+Enter")
    said(page, "Saved. Status: Accepted.")
    assert focused(page) == "4"
    assert Review(project).get(id_).sample.instruction == "What is new here?"
    page.keyboard.press("e")
    page.get_by_label("Answer").last.fill("never mind this")
    page.keyboard.press("Escape")
    assert page.locator(".rv-editor").count() == 0 and focused(page) == "4"
    assert len(Review(project).history(id_)) == 2
    # Clicked into, and left by a click elsewhere.
    page.locator(row(page, 3)).locator("[data-field=output]").click()
    page.get_by_label("Answer").last.fill("Another answer, given by mouse.")
    # The editor lies over the rows next to it; further down they are free.
    page.locator(row(page, 8)).locator("[data-field=instruction]").click()
    page.locator(".rv-editor").wait_for(state="detached")
    assert Review(project).get(id_).sample.output == "Another answer, given by mouse."
    assert focused(page) == "9"


def test_what_cannot_be_saved_stays_as_it_was_typed_also_after_a_reload(
    open_page: OpenPage, project: Project
) -> None:
    page = table(open_page, project)
    page.locator(row(page, 3)).focus()
    page.keyboard.press("e")
    page.get_by_label("Answer").last.fill(" ")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Not saved. What was typed is still here").wait_for()
    page.get_by_role("alert").get_by_text("A sample needs a question and an answer.").wait_for()
    page.get_by_label("Answer").last.fill("Typed before the page was loaded anew.")
    # On a slow machine the table is there before the first view of the page has gone, and what was
    # hidden behind that is not drawn at once.
    slow = page.context.new_cdp_session(page)
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 12})
    page.reload()
    page.wait_for_selector("[data-ready]")
    page.wait_for_function("document.activeElement.closest('.rv-editor')")
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    assert page.get_by_label("Answer").last.input_value().startswith("Typed before")
    id_ = id_of(page, 3)
    page.keyboard.press("Control+Enter")
    # Nothing in the document proves it.
    page.locator("[data-said]").get_by_text("Saved. The checks doubt your words").wait_for()
    assert Review(project).get(id_).sample.output == "Typed before the page was loaded anew."


def test_a_filter_narrows_and_a_decision_lets_the_next_one_take_its_place(
    open_page: OpenPage, project: Project
) -> None:
    page = table(open_page, project)
    before = chip(page, "quarantined")
    assert chip(page, "") == 60 and before > 1
    page.get_by_role("button", name="Quarantined").click()
    page.locator(".rv-row").nth(before - 1).wait_for()
    page.wait_for_function(f"document.querySelectorAll('.rv-row').length === {before}")
    page.locator(row(page, 1)).focus()
    first, second = id_of(page, 1), id_of(page, 2)
    page.keyboard.press("a")
    said(page, "Accepted.")
    assert id_of(page, 1) == second and focused(page) == "2"
    assert chip(page, "quarantined") == before - 1 and statuses(project)[first] == "accepted"
    page.locator("[data-filter=text]").fill("no such words anywhere")
    page.get_by_text("Nothing fits this filter").wait_for()
    page.get_by_role("button", name="Show all").last.click()
    page.wait_for_function("document.querySelector('.rv-grid').ariaRowCount === '61'")


def test_a_reload_comes_back_to_the_same_filter_and_the_same_sample(
    open_page: OpenPage, project: Project
) -> None:
    page = table(open_page, project)
    page.locator("[data-filter=document]").select_option("bell.md")
    page.wait_for_function("document.querySelector('.rv-grid').ariaRowCount !== '61'")
    page.locator(row(page, 1)).focus()
    page.keyboard.press("End")
    last = page.evaluate("document.activeElement.row.id")
    page.reload()
    page.locator(".rv-row.current:not(.waiting)").wait_for()
    assert page.locator(".rv-row.current").evaluate("(element) => element.row.id") == last
    assert page.locator("[data-filter=document]").input_value() == "bell.md"
    page.locator(".rv-detail").get_by_text("bell.md").first.wait_for()


def test_many_are_selected_with_shift_and_decided_at_once(
    open_page: OpenPage, project: Project
) -> None:
    page = table(open_page, project)
    page.locator(row(page, 2)).locator("[data-field=instruction]").click()
    page.locator(row(page, 5)).click(modifiers=["Shift"], position={"x": 60, "y": 70})
    page.get_by_text("4 selected").wait_for()
    ids = [id_of(page, number) for number in range(2, 6)]
    page.locator(".rv-bulk").get_by_role("button", name="Reject").click()
    said(page, "4 samples rejected.")
    now = statuses(project)
    assert [now[id_] for id_ in ids] == ["rejected"] * 4
    assert list(now.values()).count("rejected") == 4
    page.get_by_role("button", name="Undo").click()
    said(page, "Undone.")
    assert "rejected" not in statuses(project).values()
    page.locator(row(page, 1)).focus()
    page.keyboard.press("Control+a")
    page.get_by_text("60 selected").wait_for()


def test_the_source_is_shown_with_its_quote_and_an_earlier_version_can_be_had_again(
    open_page: OpenPage, project: Project
) -> None:
    review = Review(project)
    first = review.page().items[0].sample
    review.edit(first.id, "A changed question?", first.output)
    page = table(open_page, project, "de")
    page.locator(row(page, 1)).focus()
    page.keyboard.press("Home")
    detail = page.locator(".rv-detail")
    detail.get_by_text("Das Zitat steht in der Quelle.").wait_for()
    assert " ".join(detail.locator("mark").inner_text().split()) == first.quote
    detail.get_by_role("button", name="Zurück zu dieser Fassung").click()
    said(page, "Frühere Fassung wiederhergestellt. Status: Angenommen.")
    assert Review(project).get(first.id).sample.instruction == first.instruction


def test_samples_that_arrive_do_not_disturb_an_edit_under_way(
    open_page: OpenPage, project: Project, tmp_path: Path
) -> None:
    page = table(open_page, project)
    # Newest first: what arrives comes before the row that is edited.
    page.locator("[data-filter=order]").select_option("written down")
    page.wait_for_function("document.querySelector('.rv-row.current').row.id.endsWith('-3')")
    page.locator(row(page, 1)).focus()
    id_ = id_of(page, 1)
    page.keyboard.press("e")
    page.get_by_label("Answer").last.fill("Half of an answer")
    import_rows(
        project, tmp_path / "more.jsonl",
        *({"instruction": f"New question {n}?", "output": f"New answer {n}."} for n in range(5)),
    )  # fmt: skip
    page.wait_for_function("document.querySelector('.rv-grid').ariaRowCount === '66'")
    assert page.evaluate("document.activeElement.value") == "Half of an answer"
    assert page.locator(".rv-row.editing").get_attribute("aria-rowindex") == "7"
    page.keyboard.type(" and the other half.")
    page.keyboard.press("Control+Enter")
    # Nothing in the document proves it.
    page.locator("[data-said]").get_by_text("Saved. The checks doubt your words").wait_for()
    assert Review(project).get(id_).sample.output == "Half of an answer and the other half."


def test_whatever_a_model_wrote_is_text(
    open_page: OpenPage, project: Project, tmp_path: Path
) -> None:
    payloads = [
        "<script>window.hacked = 1</script>",
        "<img src=x onerror='window.hacked = 1'>",
        "{{7*7}} ${7*7} {% raw %} <%= 7*7 %>",
        "</textarea></template><svg onload='window.hacked = 1'>",
        "هل يعمل هذا من اليمين إلى اليسار؟ \u202eabc",
        "👩‍👩‍👧‍👦🏳️‍🌈" * 40,
        "W" * 4000,
    ]
    rows = [{"instruction": p, "output": f"{p} {n}"} for n, p in enumerate(payloads)]
    huge = {"instruction": "How long is it?", "output": "very long " * 90_000}
    import_rows(project, tmp_path / "<img src=x onerror=hacked=1>.jsonl", *rows, huge)
    page = table(open_page, project)
    page.locator("[data-filter=order]").select_option("written down")
    page.locator(row(page, 1)).get_by_text("How long is it?").wait_for()
    page.locator(row(page, 1)).focus()
    page.locator(".rv-detail").get_by_text("more characters").wait_for()
    page.keyboard.press("e")
    page.locator(".rv-editor").wait_for()
    assert len(page.get_by_label("Answer").last.input_value()) == len(huge["output"].strip())
    page.keyboard.press("Escape")
    for number, payload in enumerate(reversed(payloads), start=2):
        page.keyboard.press("ArrowDown")
        page.locator(".rv-detail h3", has_text=payload[:20]).wait_for()
        assert page.locator(row(page, number)).locator("[data-field=instruction]").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator(".rv img, .rv script, .rv svg[onload]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def thousands(tmp_path: Path) -> Project:
    return project_with_samples(tmp_path, 10_000)


def test_of_ten_thousand_samples_only_those_in_sight_are_drawn_and_each_can_be_worked_on(
    open_page: OpenPage, thousands: Project
) -> None:
    page = table(open_page, thousands)
    sent: list[int] = []
    page.on("response", lambda r: sent.append(_rows_in(r)) if "/api/review?" in r.url else None)

    def drawn() -> int:
        page.locator(".rv-row.waiting").first.wait_for(state="detached")
        return page.locator(".rv-row").count()

    assert chip(page, "") == 10_000 and drawn() < 40
    scroll = page.locator(".rv-scroll")
    for share in (0.2, 0.9, 0.4, 1.0):
        scroll.evaluate(f"(element) => {{ element.scrollTop = element.scrollHeight * {share} }}")
        page.wait_for_timeout(50)
        assert drawn() < 40
    last = page.locator(row(page, 10_000))
    last.locator("[data-field=instruction]").click()
    id_ = id_of(page, 10_000)
    page.keyboard.press("e")
    page.get_by_label("Answer").last.fill("The last answer of all.")
    page.keyboard.press("Control+Enter")
    # Nothing in the document proves it.
    page.locator("[data-said]").get_by_text("Saved. The checks doubt your words").wait_for()
    assert Review(thousands).get(id_).sample.output == "The last answer of all."
    page.locator("[data-filter=text]").fill("the LAST answer")
    page.wait_for_function("document.querySelector('.rv-grid').ariaRowCount === '2'")
    page.locator(row(page, 1)).focus()
    page.keyboard.press("r")
    said(page, "Rejected.")
    assert chip(page, "rejected") == 1
    page.locator("[data-filter=text]").fill("")
    page.wait_for_function("document.querySelector('.rv-grid').ariaRowCount === '10001'")
    page.locator(row(page, 1)).focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("a")
    said(page, "10,000 samples accepted.")
    assert chip(page, "accepted") == 10_000 and drawn() < 40
    # However far one goes, what travels is a screen or two.
    assert sent and max(sent) <= 150


def _rows_in(response: object) -> int:
    return len(json.loads(response.text())["rows"])  # type: ignore[attr-defined]


def test_what_is_alike_is_marked_and_shown_together(open_page: OpenPage, project: Project) -> None:
    repeat_an_answer(project)
    page = table(open_page, project)
    page.locator(row(page, 1)).get_by_role("button", name="1 alike").click()
    page.wait_for_function("document.querySelector('.rv-grid').ariaRowCount === '3'")
    pair = [id_of(page, 1), id_of(page, 2)]
    assert pair == ["job000000-0", "repeated-0"]
    page.locator(".rv-detail").get_by_text("Says the same as").wait_for()
    page.locator(".rv-line").get_by_role("button", name="Show all").click()
    page.wait_for_function("document.querySelector('.rv-grid').ariaRowCount === '65'")
    page.get_by_label("Only duplicates").check()
    page.wait_for_function("document.querySelector('.rv-grid').ariaRowCount === '9'")
    found = [id_of(page, number) for number in range(1, 9)]
    assert found == [f"{job}-{n}" for n in range(4) for job in ("job000000", "repeated")]


def test_words_that_the_passage_does_not_prove_are_accepted_with_one_click(
    open_page: OpenPage, project: Project
) -> None:
    page = table(open_page, project)
    id_ = id_of(page, 1)
    page.locator(row(page, 1)).focus()
    page.keyboard.press("e")
    page.get_by_label("Answer").last.fill("Everybody here knows that it was in the year 1999.")
    page.keyboard.press("Control+Enter")
    page.locator("[data-said]").get_by_text("The checks doubt your words").wait_for()
    doubt = page.locator(".rv-doubted")
    doubt.get_by_text("the passage does not prove them").wait_for()
    assert statuses(project)[id_] == "quarantined"
    doubt.get_by_role("button", name="Accept my words").click()
    doubt.wait_for(state="detached")
    assert statuses(project)[id_] == "accepted"
    sample = Review(project).get(id_).sample
    assert sample.output == "Everybody here knows that it was in the year 1999."
