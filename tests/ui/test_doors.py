"""The real app lets nobody in but the windows it opened, and gives out nothing it should not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from custom_ai.texts import LANGUAGES
from tests.ui import serving
from tests.ui.doors import open_doors, routes_of
from tests.ui.watching import REAL_APP


@pytest.fixture
def served(tmp_path: Path) -> Iterator[serving.Served]:
    """The real app as a process of its own."""
    with serving.Served(tmp_path, program=REAL_APP) as served:
        yield served


def test_every_route_refuses_everybody_but_its_own_windows(served: serving.Served) -> None:
    from custom_ai.ui.app import create_app

    cookie = served.wait_until_ready()
    app = create_app()
    for lang in LANGUAGES:
        app.state.pages.load(lang)
    routes = set(routes_of(app))
    assert len(routes) > 150
    assert {"GET /api/pulse", "POST /api/projects/delete"} <= {" ".join(r) for r in routes}
    assert open_doors(served, sorted(routes), cookie) == []


TRAVERSALS = [
    f"{before}{up * depth}{target}"
    for up in ("../", "..\\", "%2e%2e/", "..%2f", "%252e%252e%252f", "....//", "..;/", "..%c0%af")
    for depth in (1, 3, 8)
    for before, target in (("", "etc/passwd"), ("x/", "secrets.json"), ("", "session.key"))
]


def test_no_path_leads_out_of_the_places_that_are_served(served: serving.Served) -> None:
    assert len(TRAVERSALS) >= 60
    cookie = {"Cookie": served.wait_until_ready(), "X-Project": "x"}
    secret = (served.home / "session.key").read_text()
    prefixes = (
        "/static/",
        "/en/static/",
        "/en/assets/",
        "/en/gradio_api/file=",
        "/en/gradio_api/file=/",
        "/en/gradio_api/stream/",
        "/api/projects/archives/",
        "/api/documents/original/",
        "/api/training/models/",
    )
    for prefix in prefixes:
        for path in TRAVERSALS:
            answer = served.ask("GET", prefix + path, cookie)
            assert "root:" not in answer.body.decode(errors="replace"), prefix + path
            assert secret not in answer.body.decode(errors="replace"), prefix + path
            assert answer.status >= 300, prefix + path
    for path in TRAVERSALS:
        header = {**cookie, "X-Project": path.replace("\\", "%5C")}
        assert served.ask("GET", "/api/pulse", header).json["project"] is None
