"""Many conversations, few models: lines in order, room made by age, nothing left behind."""

import shutil
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from custom_ai.errors import UserError
from custom_ai.evaluation.chat import ModelChoice
from custom_ai.evaluation.chats import Chats
from tests.evaluation.conftest import FACTS, question
from tests.processes import is_at_work

LONG = 400
Events = Generator[dict[str, Any]]


@pytest.fixture
def chats() -> Iterator[Chats]:
    with closing(Chats()) as pool:
        yield pool


def test_the_line_before_a_model_is_kept_in_order(chats: Chats, wordy_gguf: ModelChoice) -> None:
    first, second, third = (chats.answer(wordy_gguf, question("Wo?"), LONG) for _ in range(3))
    _until_text(first)
    assert next(second) == {"kind": "waiting", "ahead": 1}
    assert next(third) == {"kind": "waiting", "ahead": 2}
    first.close()
    assert next(third) == {"kind": "waiting", "ahead": 1}
    _until_text(second)
    assert next(third) == {"kind": "waiting", "ahead": 1}
    second.close()
    assert list(third)[-1]["kind"] == "done"


def test_who_leaves_the_line_is_no_longer_waited_for(chats: Chats, wordy_gguf: ModelChoice) -> None:
    first, second, third = (chats.answer(wordy_gguf, question("Wo?"), LONG) for _ in range(3))
    _until_text(first)
    next(second)
    next(third)
    second.close()
    first.close()
    assert list(third)[-1]["kind"] == "done"


def test_a_stop_in_the_line_is_an_empty_answer(chats: Chats, wordy_gguf: ModelChoice) -> None:
    stop = threading.Event()
    first = chats.answer(wordy_gguf, question("Wo?"), LONG)
    second = chats.answer(wordy_gguf, question("Wo?"), LONG, stop=stop)
    _until_text(first)
    next(second)
    stop.set()
    done = list(second)[-1]
    first.close()
    assert (done["kind"], done["answer"], done["stopped"]) == ("done", "", "stopped")


def test_twenty_sessions_at_once_get_their_own_answers(
    chats: Chats, taught: ModelChoice, gguf: ModelChoice
) -> None:
    answers: dict[int, str] = {}

    def session(number: int) -> None:
        fact = FACTS[number % len(FACTS)]
        *_, done = chats.answer((taught, gguf)[number % 2], question(fact["instruction"]))
        answers[number] = done["answer"]

    threads = [threading.Thread(target=session, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: FACTS[number % len(FACTS)]["output"] for number in range(20)}


def test_the_model_unused_for_longest_makes_room(
    chats: Chats, wordy_gguf: ModelChoice, taught: ModelChoice, gguf: ModelChoice
) -> None:
    for choice in (wordy_gguf, taught, wordy_gguf, gguf):
        list(chats.answer(choice, question("Wo?"), 4))
    assert _loaded() == {wordy_gguf.path, gguf.path}


def test_a_third_model_waits_while_two_are_answering(
    chats: Chats, wordy_gguf: ModelChoice, taught: ModelChoice, tmp_path: Path
) -> None:
    other = ModelChoice(str(shutil.copy(wordy_gguf.path, tmp_path / "other.gguf")), kind="gguf")
    first = chats.answer(wordy_gguf, question("Wo?"), LONG)
    second = chats.answer(other, question("Wo?"), LONG)
    third = chats.answer(taught, question(FACTS[0]["instruction"]))
    again = chats.answer(other, question("Wo?"), LONG)
    _until_text(first)
    _until_text(second)
    assert next(third)["kind"] == "waiting"
    next(again)
    second.close()
    # It came later; the place that became free is not its own.
    assert next(again)["kind"] == "waiting"
    assert list(third)[-1]["answer"] == FACTS[0]["output"]
    assert _loaded() == {wordy_gguf.path, taught.path}
    first.close()
    again.close()


def test_models_nobody_asks_go_by_themselves(wordy_gguf: ModelChoice) -> None:
    with closing(Chats(idle_seconds=0.1)) as chats:
        list(chats.answer(wordy_gguf, question("Wo?"), 4))
        deadline = time.monotonic() + 10
        while _loaded():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert list(chats.answer(wordy_gguf, question("Wo?"), 4))[-1]["kind"] == "done"


def test_a_model_that_answers_is_never_idle(wordy_gguf: ModelChoice) -> None:
    with closing(Chats(idle_seconds=0.1)) as chats:
        events = chats.answer(wordy_gguf, question("Wo?"), LONG)
        _until_text(events)
        time.sleep(0.5)
        assert _loaded() == {wordy_gguf.path}
        assert list(events)[-1]["kind"] == "done"


def test_weights_written_anew_are_another_model(
    chats: Chats, wordy: ModelChoice, taught: ModelChoice, tmp_path: Path
) -> None:
    folder = shutil.copytree(wordy.path, tmp_path / "m")
    asked = question(FACTS[0]["instruction"])
    before = list(chats.answer(ModelChoice(str(folder)), asked, 32))[-1]["answer"]
    assert before != FACTS[0]["output"]
    shutil.copyfile(Path(taught.path, "model.safetensors"), folder / "model.safetensors")
    after = list(chats.answer(ModelChoice(str(folder)), asked, 32))[-1]["answer"]
    assert after == FACTS[0]["output"]


def test_a_closed_pool_ends_its_models_and_takes_no_questions(wordy_gguf: ModelChoice) -> None:
    chats = Chats()
    answering = chats.answer(wordy_gguf, question("Wo?"), LONG)
    waiting = chats.answer(wordy_gguf, question("Wo?"), LONG)
    _until_text(answering)
    next(waiting)
    chats.close()
    assert _loaded() == set()
    with pytest.raises(UserError) as caught:
        list(waiting)
    assert caught.value.code == "evaluation.closing"
    with pytest.raises(UserError):
        list(chats.answer(wordy_gguf, question("Wo?")))
    answering.close()


def _until_text(events: Events) -> None:
    assert "text" in (event["kind"] for event in events)


def _loaded() -> set[str]:
    """The models whose processes live, by path."""
    found = psutil.Process().children()
    return {child.cmdline()[4] for child in found if is_at_work(child, "chat_worker")}
