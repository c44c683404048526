"""A model in its own process: it answers in pieces, stops when asked, and dies alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

import custom_ai
from custom_ai.errors import UserError
from custom_ai.evaluation.chat import ModelChoice
from custom_ai.evaluation.chat_process import ChatProcess
from custom_ai.texts import use_language
from tests.evaluation.conftest import FACTS, joined, question
from tests.processes import is_at_work

LONG = 400


@pytest.mark.parametrize("form", ["taught", "gguf"])
def test_an_answer_comes_in_whole_characters(form: str, request: pytest.FixtureRequest) -> None:
    with closing(ChatProcess(request.getfixturevalue(form))) as model:
        for fact in FACTS:
            events = list(model.answer(question(fact["instruction"])))
            texts = [event["text"] for event in events if event["kind"] == "text"]
            done = events[-1]
            assert done["kind"] == "done"
            assert done["answer"] == "".join(texts) == fact["output"]
            assert len(texts) > 3
            assert not any("\ufffd" in text for text in texts)
            assert (done["stopped"], done["forgotten"]) == ("end", 0)
            assert done["tokens"] >= len(texts) and done["seconds"] > 0


def test_an_adapter_changes_the_answers(taught: ModelChoice, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(taught.path, dtype=torch.float32)
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    tuned = get_peft_model(base, config)
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            weights.data.normal_(0, 1.0)
    tuned.save_pretrained(tmp_path)
    with closing(ChatProcess(ModelChoice(taught.path, tmp_path))) as model:
        *_, done = model.answer(question(FACTS[0]["instruction"]), 32)
    assert done["kind"] == "done"
    assert done["answer"] != FACTS[0]["output"]


@pytest.mark.parametrize("form", ["wordy", "gguf"])
def test_a_temperature_makes_answers_differ(form: str, request: pytest.FixtureRequest) -> None:
    with closing(ChatProcess(request.getfixturevalue(form))) as model:
        found = set()
        # Chance decides; that it decides the same sixty times does not happen.
        for _ in range(60):
            *_, done = model.answer(question("a"), 16, temperature=4.0)
            found.add(done["answer"])
            if len(found) > 1:
                return
    raise AssertionError(f"always {found}")


def test_an_answer_at_its_limit_says_so(talker: ChatProcess) -> None:
    *_, done = talker.answer(question("Wo?"), 7)
    assert (done["stopped"], done["tokens"]) == ("length", 7)


def test_a_stopped_answer_keeps_what_there_is(talker: ChatProcess) -> None:
    whole = list(talker.answer(question("Wo?"), LONG))
    stop = threading.Event()
    events = []
    for event in talker.answer(question("Wo?"), LONG, stop=stop):
        events.append(event)
        if event["kind"] == "text":
            stop.set()
    assert events[-1]["stopped"] == "stopped"
    assert events[-1]["answer"] == joined(events)
    assert 0 < events[-1]["tokens"] < whole[-1]["tokens"]
    assert joined(whole).startswith(joined(events))
    # The same process goes on.
    assert list(talker.answer(question("Wo?"), LONG))[-1]["answer"] == joined(whole)


def test_an_answer_stopped_while_the_model_loads_is_empty(talker: ChatProcess) -> None:
    stop = threading.Event()
    stop.set()
    first, *_, done = talker.answer(question("Wo?"), LONG, stop=stop)
    assert first == {"kind": "loading", "seconds": 0.0}
    assert (done["answer"], done["stopped"]) == ("", "stopped")
    assert list(talker.answer(question("Wo?"), 4))[-1]["answer"]


def test_what_is_left_of_an_answer_nobody_waited_for_is_not_taken_for_the_next(
    talker: ChatProcess,
) -> None:
    expected = list(talker.answer(question("Wo?"), 20))[-1]["answer"]
    left = talker.answer(question("Wer?"), LONG)
    assert "text" in (event["kind"] for event in left)
    left.close()
    events = list(talker.answer(question("Wo?"), 20))
    assert events[-1]["answer"] == joined(events) == expected


def test_a_conversation_that_is_too_long_loses_its_beginning(talker: ChatProcess) -> None:
    turns = [
        question("Where is the amber lantern kept? " * 8)[0],
        {"role": "assistant", "content": "x"},
    ]
    *_, done = talker.answer([*turns * 9, *question("Wo?")], 16)
    assert done["forgotten"] in range(2, 18, 2)
    assert done["tokens"] == 16


@pytest.mark.parametrize("form", ["wordy", "gguf"])
def test_a_question_that_is_too_long_is_said_and_the_model_stays(
    form: str, request: pytest.FixtureRequest
) -> None:
    with closing(ChatProcess(request.getfixturevalue(form))) as model:
        list(model.answer(question("Wo?"), 4))
        before = _children()
        with pytest.raises(UserError) as caught:
            list(model.answer(question("Straße " * 1000)))
        assert caught.value.code == "evaluation.question_too_long"
        assert caught.value.values["limit"] == "512"
        list(model.answer(question("Wo?"), 4))
        assert _children() == before


def test_a_killed_process_is_a_message_and_the_next_question_starts_another(
    talker: ChatProcess,
) -> None:
    expected = list(talker.answer(question("Wo?"), 20))[-1]["answer"]
    (killed,) = _children()
    with pytest.raises(UserError) as caught:
        for event in talker.answer(question("Wo?"), LONG):
            if event["kind"] == "text":
                psutil.Process(killed).kill()
    assert caught.value.code == "evaluation.model_died"
    assert caught.value.hint
    assert list(talker.answer(question("Wo?"), 20))[-1]["answer"] == expected
    (other,) = _children()
    assert other != killed


def test_a_process_killed_between_two_questions_is_replaced(talker: ChatProcess) -> None:
    list(talker.answer(question("Wo?"), 4))
    (killed,) = _children()
    psutil.Process(killed).kill()
    # Buried without being asked for: no dead process stays in the system's list.
    assert _gone(killed)
    assert list(talker.answer(question("Wo?"), 4))[-1]["kind"] == "done"


def test_a_breakdown_of_llama_cpp_is_a_message_and_the_next_question_starts_another(
    gguf: ModelChoice,
) -> None:
    with closing(ChatProcess(gguf)) as model:
        list(model.answer(question("Wo?"), 4))
        (worker,) = _children()
        (llama,) = psutil.Process(worker).children()
        llama.kill()
        with pytest.raises(UserError) as caught:
            list(model.answer(question("Wo?"), 4))
        assert caught.value.code == "export.llama_crashed"
        assert (
            list(model.answer(question(FACTS[0]["instruction"])))[-1]["answer"]
            == FACTS[0]["output"]
        )


def test_a_folder_without_a_model_is_named_in_the_readers_language(tmp_path: Path) -> None:
    use_language("de")
    with closing(ChatProcess(ModelChoice(str(tmp_path)))) as model:
        for _ in range(2):
            with pytest.raises(UserError) as caught:
                list(model.answer(question("Wo?")))
            assert caught.value.code == "models.cannot_load"
            assert str(tmp_path) in caught.value.message
            assert "lässt sich nicht laden" in caught.value.message


def test_a_file_that_is_no_gguf_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing else")
    with (
        closing(ChatProcess(ModelChoice(str(broken), kind="gguf"))) as model,
        pytest.raises(UserError, match=r"broken\.gguf"),
    ):
        list(model.answer(question("Wo?")))


def test_nothing_is_left_when_it_is_closed(gguf: ModelChoice) -> None:
    model = ChatProcess(gguf)
    list(model.answer(question("Wo?"), 4))
    (worker,) = _children()
    (llama,) = psutil.Process(worker).children()
    model.close()
    assert _gone(worker) and _gone(llama.pid)
    model.close()


def test_the_process_ends_with_a_parent_that_was_killed(gguf: ModelChoice) -> None:
    program = (
        "import sys, time, psutil\n"
        "from custom_ai.evaluation.chat import ModelChoice\n"
        "from custom_ai.evaluation.chat_process import ChatProcess\n"
        "chat = ChatProcess(ModelChoice(sys.argv[1], kind='gguf'))\n"
        "list(chat.answer([{'role': 'user', 'content': 'Wo?'}], 4))\n"
        "print(*(p.pid for p in psutil.Process().children(recursive=True)), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, gguf.path],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(custom_ai.__file__).parents[1])},
    )
    with parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        os.kill(parent.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    assert len(workers) == 2
    assert all(_gone(pid) for pid in workers)


def test_whoever_talks_to_a_model_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "import custom_ai.evaluation.chats, custom_ai.runs.model_choice\n"
        "print(*{'torch', 'transformers', 'xllamacpp'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "")


def _children() -> list[int]:
    """The processes of conversations that this process started and that still live."""
    found = psutil.Process().children()
    return [c.pid for c in found if is_at_work(c, "chat_worker")]


def _gone(pid: int) -> bool:
    """Whether a process ends soon, and nothing of it stays."""
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and _own_or_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _own_or_alive(pid: int) -> bool:
    # The dead process of a killed parent belongs to the system, which may take its time.
    try:
        process = psutil.Process(pid)
        own = process.ppid() == os.getpid()
        return own or process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
