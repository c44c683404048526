"""The moving line of a run: how much is done, of which page, and how long it still takes."""

import io

from custom_ai.cli.progress import Progress
from custom_ai.step import Event
from custom_ai.texts import use_language


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(*events: Event) -> str:
    """The last line after these events."""
    terminal = Terminal()
    progress = Progress(terminal)
    for event in events:
        progress.show(event)
    return terminal.getvalue().rpartition("\r")[2]


def at(time: float, share: float, **details: object) -> Event:
    event = {"kind": "progress", "done": 1, "total": 3, "unit": "documents"}
    return {"time": time, "share": share, **event, **details}


def test_the_bar_follows_the_share_of_the_work_and_not_the_number_of_files() -> None:
    assert " 90%  1/3 documents" in shown(at(0, 0.9))
    assert " 33%  1/3 documents" in shown({**at(0, 0.9), "share": None})


def test_the_time_left_is_known_once_there_is_a_pace() -> None:
    assert "left" not in shown(at(100, 0.1))
    assert shown(at(100, 0.1), at(110, 0.2)).rstrip().endswith("left 1:20")
    use_language("de")
    assert shown(at(100, 0.1), at(110, 0.2)).rstrip().endswith("noch 1:20")


def test_a_long_file_shows_its_pages_in_both_languages() -> None:
    event = at(0, 0.1, file="long.pdf", page=120, pages=11238)
    assert "page 120 of 11238" in shown(event)
    use_language("de")
    assert "Seite 120 von 11238" in shown(event)
