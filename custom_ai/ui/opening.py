"""What a page shows before Gradio has drawn it: the frame, and how the work stands.

The page Gradio gives out is empty until its scripts have made all widgets, a second later. Here it
gets what can be seen and used at once: our head, the top bar, and the first view, with the steps
and the cards of the runs at work; both are fragments as everywhere, so they live. When Gradio is
done, each card moves to its place (static/opening.js).
"""

from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs

from anyio import to_thread
from markupsafe import Markup

from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.texts import in_language
from custom_ai.ui import here, journey
from custom_ai.ui.asgi import App, Message, Receive, Scope, Send, answer, header
from custom_ai.ui.journey import STEPS
from custom_ai.ui.render import banner, render
from custom_ai.ui.routes.runs import render_card

# The steps whose runs stand beside their form, and how wide both are.
_TWO_COLUMNS = {"samples": (6, 5), "training": (5, 7)}

# Our parts outside of Gradio's own look like those inside: its rules are bound to this class.
_LIKE_GRADIO = f"gradio-container gradio-container-{version('gradio').replace('.', '-')}"

# Browsers ask for it without our cookie, and are refused; it is for pages that are installed.
_MANIFEST = '<link rel="manifest" href="/manifest.json" />'

# Names of this computer under which a page is asked for.
_MOST_HOSTS = 8


class Opening:
    """ASGI around the page of one language: completes the HTML of `/<language>/`."""

    def __init__(self, app: App, lang: str) -> None:
        self._app = app
        self._lang = lang
        self._empty: dict[str, tuple[str, str, str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == f"/{self._lang}/":
            await self._open(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start, body, rest = await self._page(scope)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        slug = query.get("project", [""])[-1]
        view = await to_thread.run_sync(first_view, self._lang, slug)
        page = "".join([start, head(self._lang), body, view, rest])
        await answer(send, 200, page.encode())

    async def _page(self, scope: Scope) -> tuple[str, str, str]:
        """Gradio's page, parted where our head and our first view stand.

        It differs by nothing but the name of the host, so it is made once for each.
        """
        host = header(scope, "host") or ""
        if host not in self._empty:
            html = (await _ask(self._app, scope, host)).replace(_MANIFEST, "")
            start, in_head, more = html.partition("</head>")
            body, in_body, rest = more.rpartition("<gradio-app")
            if len(self._empty) == _MOST_HOSTS:
                self._empty.clear()
            self._empty[host] = start, in_head + body, in_body + rest
        return self._empty[host]


def head(lang: str) -> str:
    """What stands in the page's head: the language of the built-in words, styles, scripts."""
    return render("head", lang=lang)


def first_view(lang: str, slug: str) -> str:
    """The top bar and, with a project, the steps and the cards of its runs that are at work."""
    with in_language(lang):
        frame: dict[str, Any] = {"lang": lang, "like": _LIKE_GRADIO, "slug": slug}
        frame |= {"projects": [], "current": None, "work": None, "problem": ""}
        try:
            known = projects.find_all()
            current = next((project for project in known if project.slug == slug), None)
            work = _at_work(current) if current else None
            return render(
                "opening", **{**frame, "projects": known, "current": current, "work": work}
            )
        except Exception as error:
            # One damaged project must not keep the page from coming: it says what is wrong.
            problem = Markup(banner(here.explain(error)))
            return render("opening", **{**frame, "problem": problem})


def _at_work(project: Project) -> dict[str, Any] | None:
    """What the steps show at first; None where it can't be read: the steps will say why."""
    cards: dict[str, list[tuple[str, Markup]]] = {step: [] for step in STEPS}
    try:
        there = journey.look(project)
        for run in there.active:
            if step := journey.step_of(run.task):
                cards[step].append((run.task, Markup(render_card(run))))
    except Exception as error:
        here.explain(error)
        return None
    return {"cards": cards, "states": there.steps(), "two_columns": _TWO_COLUMNS}


async def _ask(app: App, scope: Scope, host: str) -> str:
    """The HTML of Gradio's page: asked for without anything that only one window would say."""
    status, parts = 0, []

    async def nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def take(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    plain = {**scope, "headers": [(b"host", host.encode("latin-1"))], "query_string": b""}
    await app(plain, nothing, take)
    assert status == 200, status
    return b"".join(parts).decode("utf-8")
