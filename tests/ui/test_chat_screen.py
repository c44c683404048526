"""The conversation: answers come in pieces, are stopped, left and kept, and never run anything."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psutil
import pytest
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from custom_ai.documents import library
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.step import Step
from custom_ai.ui import answers
from custom_ai.ui.routes import chat
from custom_ai.ui.routes import projects as project_routes
from tests.processes import is_at_work
from tests.ui import asking
from tests.ui.trained import FACTS, HOSTILE, LONG, Models, make_models, make_project

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]
Json = dict[str, Any]

GGUF = "gguf-taught"
PAYLOADS = (
    HOSTILE,
    "[click](javascript:window.hacked=3) <javascript:window.hacked=3> ![x](x onerror=1)",
    "<a href='javascript:window.hacked=4'>x</a>\n\n<iframe srcdoc='<script>1</script>'>",
    "```html\n<script>window.hacked=5</script>\n```\n`<svg onload=window.hacked=6>`",
    "[x]: javascript:window.hacked=7\n\n[x] &lt;script&gt;window.hacked=8&lt;/script&gt;",
    "\x1b[31mred\x1b[0m \u202egnp.exe\u202c \x00 \ufffe",
    "| <b onmouseover=window.hacked=9> | b |\n|---|---|\n| <img src=x onerror=1> | 2 |",
    "</template></section><script>window.hacked=10</script>",
    "{{ 7*7 }} ${window.hacked=11} <div hx-get=/api/pulse hx-trigger=load>",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    folder = tmp_path_factory.mktemp("models")
    yield make_models(folder)
    shutil.rmtree(folder)


@pytest.fixture
def project(models: Models) -> Project:
    return make_project(models)


class Window:
    """A window that asks as static/chat.js does, and takes answers while they are written."""

    def __init__(self, port: int, project: Project) -> None:
        self._port = port
        self.headers = {"x-project": project.slug, "x-language": "en"}

    def get(self, path: str, **query: object) -> str:
        """A part of the page, or the refusal."""
        return self._send("GET", f"{path}?{urlencode(query)}").read().decode()

    def post(self, path: str, value: object = None) -> Any:
        """What comes back as JSON; None where nothing does."""
        text = self._send("POST", path, value).read()
        return json.loads(text) if text else None

    @contextmanager
    def asking(self, question: str, **more: Any) -> Iterator[Iterator[Json]]:
        """The events of an answer; leaving the block closes the connection."""
        asked = {"side": "tuned", "model": GGUF, "question": question, **more}
        with closing(self._send("POST", "/api/chat/answer", asked)) as response:
            assert response.status == 200
            yield (json.loads(line) for line in response)

    def ask(self, question: str, **more: Any) -> list[Json]:
        """All events of an answer."""
        with self.asking(question, **more) as events:
            return list(events)

    def _send(self, method: str, path: str, value: object = None) -> HTTPResponse:
        headers = {**self.headers, "content-type": "application/json", "connection": "close"}
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request(method, path, json.dumps(value).encode(), headers)
        return connection.getresponse()


_left = threading.Event()


def _endless() -> StreamingResponse:
    def ticks() -> Generator[Json]:
        try:
            while True:
                time.sleep(0.01)
                yield {"kind": "thinking"}
        finally:
            _left.set()

    return answers.Lines(ticks())


@contextmanager
def _served() -> Iterator[int]:
    """The routes of the screen on a real port: only there a window can leave."""
    endless = APIRouter()
    endless.add_api_route("/endless", _endless)
    with asking.serving(chat.router, endless) as port:
        yield port


@pytest.fixture
def window(project: Project) -> Iterator[Window]:
    """A window that shows the project in English."""
    with _served() as port:
        yield Window(port, project)


def test_an_answer_comes_piece_by_piece_and_ends_with_what_is_kept(window: Window) -> None:
    began, *events, done = window.ask(FACTS[0]["instruction"])
    assert (began["kind"], began["model"]) == ("began", "taught (GGUF)")
    pieces = [event["text"] for event in events if event["kind"] == "text"]
    assert len(pieces) > 1 and "".join(pieces) == FACTS[0]["output"]
    kept = done["answer"]
    assert (kept["text"], kept["ended"]) == (FACTS[0]["output"], "end")
    assert kept["tokens"] >= len(pieces) and kept["tokens_per_second"] > 0
    assert FACTS[0]["output"] in done["html"] and "complete" in done["html"]


def test_until_the_model_is_there_the_window_is_told_why_it_waits(window: Window) -> None:
    words = [e["text"] for e in window.ask("Wo?", side="base") if e["kind"] == "status"]
    assert words[0].startswith("The model is being loaded")


def test_a_window_is_told_in_its_own_language(window: Window) -> None:
    window.headers["x-language"] = "de"
    *events, done = window.ask(FACTS[0]["instruction"])
    assert any("wird geladen" in event.get("text", "") for event in events)
    assert "vollständig" in done["html"]


def test_a_stop_keeps_what_there_is(window: Window) -> None:
    seen: list[Json] = []
    with window.asking("Wo?", side="base") as events:
        for event in events:
            seen.append(event)
            if event["kind"] == "text":
                window.post(f"/api/chat/stop/{seen[0]['id']}")
    kept = seen[-1]["answer"]
    assert kept["ended"] == "stopped"
    assert kept["text"] and len(kept["text"]) < len(LONG)


def test_nobody_stops_an_answer_by_guessing(window: Window) -> None:
    window.post("/api/chat/stop/unknown")
    names = {window.ask(FACTS[0]["instruction"])[0]["id"] for _ in range(3)}
    assert len(names) == 3 and all(len(name) > 20 for name in names)


def test_a_window_that_leaves_ends_its_answer() -> None:
    with _served() as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/endless", headers={"connection": "close"})
        with closing(connection.getresponse()) as response:
            assert response.readline() == b'{"kind": "thinking"}\n'
            assert not _left.is_set()
        assert _left.wait(30)


def test_each_side_remembers_its_own_conversation(window: Window) -> None:
    earlier = [{"role": "user", "content": "x " * 600}, {"role": "assistant", "content": "Yes."}]
    *_, done = window.ask(FACTS[0]["instruction"], earlier=earlier)
    assert done["answer"]["forgotten"] == 2
    assert "oldest 2 messages" in done["html"]


def test_twenty_windows_get_their_own_answers(window: Window) -> None:
    found: dict[int, str] = {}

    def ask(number: int) -> None:
        fact = FACTS[number % 3]
        found[number] = window.ask(fact["instruction"])[-1]["answer"]["text"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: FACTS[number % 3]["output"] for number in range(20)}


def test_no_model_is_there_before_the_first_question_and_none_after_the_app(
    project: Project,
) -> None:
    with _served() as port:
        window = Window(port, project)
        assert GGUF in window.get("/api/chat/bar")
        assert _models_at_work() == []
        window.ask(FACTS[0]["instruction"])
        assert len(_models_at_work()) == 1
    assert _models_at_work() == []


def test_a_renamed_project_is_held_by_no_model(window: Window, project: Project) -> None:
    window.ask(FACTS[0]["instruction"])
    assert len(_models_at_work()) == 1
    with asking.serving(project_routes.router) as port:
        asked = asking.Window(port, project=project.slug, language="en")
        assert asked.post("/api/projects/rename", name="Harbour").status == 204
    assert _models_at_work() == []
    window.headers["x-project"] = projects.find("harbour").slug
    assert window.ask(FACTS[0]["instruction"])[-1]["answer"]["text"] == FACTS[0]["output"]


def test_an_answer_that_loses_its_model_says_why(window: Window) -> None:
    seen: list[Json] = []
    with window.asking("Wo?", side="base") as events:
        for event in events:
            if event["kind"] == "text" and not any(e["kind"] == "text" for e in seen):
                answers.put_away()
            seen.append(event)
    kept = seen[-1]["answer"]
    assert kept["ended"] == "failed" and kept["text"]
    assert "put away" in kept["error"]["message"] and "Ask again" in kept["error"]["hint"]


def test_the_tuned_models_are_the_newest_training_the_others_and_the_exports(
    window: Window, project: Project
) -> None:
    shown = window.get("/api/chat/bar")
    keys = [part.split('"')[0] for part in shown.split('<option value="')[1:]]
    assert keys == ["", "run-1", GGUF]
    shutil.rmtree(project.models / "taught")
    assert GGUF not in window.get("/api/chat/bar")


@pytest.mark.parametrize("key", ["run-7", "gguf-gone", "../../etc/passwd", "gguf-../taught"])
def test_a_model_that_is_not_offered_cannot_be_asked(key: str, window: Window) -> None:
    refused = window.post("/api/chat/answer", {"side": "tuned", "question": "Wo?", "model": key})
    assert refused["error"]["code"] == "ui_chat.model_gone"


def test_before_a_training_the_base_can_be_asked_alone(window: Window, models: Models) -> None:
    fresh = projects.create("Fresh")
    fresh.change(base_model=str(models.taught))
    window.headers["x-project"] = fresh.slug
    assert "no trained model yet" in window.get("/api/chat/bar")
    assert window.ask(FACTS[0]["instruction"], side="base", model="")[-1]["answer"]["text"]
    refused = window.post("/api/chat/answer", {"side": "tuned", "question": "Wo?"})
    assert refused["error"]["code"] == "runs.not_trained"


def test_the_base_is_the_one_the_tuned_model_was_made_from(
    window: Window, project: Project
) -> None:
    project.change(base_model="starter")
    assert window.ask("Wo?", side="base", model=GGUF)[0]["model"] == "base"


def test_examples_come_with_the_expected_answer_and_change(
    window: Window, project: Project
) -> None:
    shown = window.get("/api/chat/examples")
    assert f'data-ask="{FACTS[0]["instruction"]}" data-expects="{FACTS[0]["output"]}"' in shown
    rows = [{"instruction": f"Question {n}?", "output": "x", "split": "train"} for n in range(9)]
    project.samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    turns = [window.get("/api/chat/examples", turn=n) for n in range(3)]
    seen = ["".join(str(n) for n in range(9) if f"Question {n}?" in turn) for turn in turns]
    assert sorted("".join(seen)) == [str(n) for n in range(9)]


def test_sources_lead_to_the_passage_with_the_words_of_the_question(
    window: Window, project: Project, tmp_path: Path
) -> None:
    document = _read(project, tmp_path / "lamp.txt", "Die Lampe leuchtet in der STRASSE.\n")
    kept = window.ask("Welche Lampen gibt es in der Straße?", retrieve=True)[-1]["answer"]
    (place,) = kept["places"]
    assert (place["document"], place["filename"]) == (document, "lamp.txt")
    wanted = {name: place[name] for name in ("document", "chunk", "mark")}
    asked = "Wo ist die Lampe, in welcher Straße?"
    shown = window.get("/api/chat/passage", **wanted, q=asked)
    assert "Die <mark>Lampe</mark> leuchtet in der <mark>STRASSE</mark>." in shown
    library.remove(project, document)
    assert "ui_chat.passage_gone" in window.get("/api/chat/passage", **wanted)


@pytest.mark.parametrize("text", PAYLOADS)
def test_whatever_a_model_says_is_text(text: str, window: Window) -> None:
    place = {"document": 1, "chunk": 0, "mark": text, "filename": text, "page": 1}
    kept = {
        "question": text,
        "model": text,
        "text": text,
        "ended": "failed",
        "places": [{**place, "heading_path": [text]}],
        "error": {"message": text, "hint": text},
    }
    (shown,) = window.post("/api/chat/shown", [kept])
    parser = _Tags()
    parser.feed(shown)
    assert parser.tags.isdisjoint({"script", "img", "a", "iframe", "template"})
    assert [name for name in parser.attributes if name.startswith("on")] == []
    assert parser.asks == [shown.split('hx-get="')[1].split('"')[0].replace("&amp;", "&")]


def test_formatting_without_danger_is_shown(window: Window) -> None:
    text = "# Title\n\nSome **bold** words.\nAnother line.\n\n- one\n- two"
    (shown,) = window.post("/api/chat/shown", [{"question": "", "text": text}])
    assert "<b>Title</b>" in shown and "<strong>bold</strong>" in shown and "<li>one</li>" in shown
    assert "words.\nAnother line." in shown


def test_both_models_answer_side_by_side_and_a_reload_keeps_it(
    open_page: OpenPage, project: Project
) -> None:
    page = _open(open_page, project)
    page.locator(".ca-example", has_text=FACTS[0]["instruction"]).click()
    _wait_for_answers(page, 2)
    assert FACTS[0]["output"] in page.locator(".ca-side.tuned").inner_text()
    assert "größer" in page.locator(".ca-side.base").inner_text()
    page.locator("[data-expected] summary").click()
    assert page.locator("[data-expected] p").inner_text() == FACTS[0]["output"]
    page.reload()
    _wait_for_answers(page, 2)
    assert FACTS[0]["output"] in page.locator(".ca-side.tuned").inner_text()
    assert page.locator("#chat-model").input_value() == GGUF
    other = _open(open_page, project)
    assert other.locator(".ca-turn").count() == 0
    page.locator("[data-new]").click()
    assert page.locator(".ca-turn").count() == 0


def test_what_was_written_before_a_reload_stays_and_can_be_asked_again(
    open_page: OpenPage, project: Project
) -> None:
    page = _open(open_page, project)
    page.locator("label", has=page.locator("[value=base]")).click()
    page.fill("#chat-question", "Wo?")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[data-text]')?.textContent.length > 20")
    page.reload()
    page.locator("[data-again]").wait_for()
    assert "cut off" in page.locator(".ca-side").inner_text()
    assert "größer" in page.locator(".ca-side .ca-text").inner_text()
    page.locator("[data-again]").click()
    page.locator("[data-stop]").click()
    _wait_for_answers(page, 1)
    assert "stopped" in page.locator(".ca-facts").inner_text()


def test_hostile_answers_and_names_run_nothing(
    open_page: OpenPage, project: Project, tmp_path: Path
) -> None:
    _read(project, tmp_path / "<img src=x onerror=window.hacked=3>.txt", "The bell is green.\n")
    page = _open(open_page, project)
    page.locator("label", has=page.locator("[value=tuned]")).click()
    page.locator(".ca-example", has_text="Who is there?").click()
    _wait_for_answers(page, 1)
    assert HOSTILE in page.locator(".ca-side .ca-text").inner_text()
    page.locator(".ca-switch").click()
    page.fill("#chat-question", "Is the bell <script>window.hacked=4</script>?")
    page.keyboard.press("Enter")
    page.locator(".ca-sources button").click()
    page.locator("dialog .ca-passage mark").first.wait_for()
    assert "<img src=x" in page.locator("dialog h2").inner_text()
    assert page.evaluate("window.hacked") is None


def _open(open_page: OpenPage, project: Project) -> "Page":
    """The screen, with the exported model chosen."""
    page = open_page("en", project.slug, "chat")
    page.select_option("#chat-model", GGUF)
    return page


def _wait_for_answers(page: "Page", count: int) -> None:
    page.wait_for_function(f"document.querySelectorAll('.ca-facts').length === {count}")


def _models_at_work() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if is_at_work(child, "chat_worker")]


def _read(project: Project, path: Path, text: str) -> int:
    path.write_text(text)
    library.add(project, [path], Step(path.parent, lambda event: None, lambda: None))
    return library.list_all(project)[-1].id


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.asks: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.asks += [value for name, value in attrs if name == "hx-get"]
