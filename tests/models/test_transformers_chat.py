from pathlib import Path

import pytest

from custom_ai.errors import UserError
from custom_ai.models.chat_template import (
    CHATML,
    conversation_tokens,
    end_tokens,
    ensure_template,
    prompt_tokens,
)
from custom_ai.models.loading import load_model, memory_errors, use_threads
from custom_ai.models.pieces import Pieces
from custom_ai.models.transformers_chat import TransformersChat
from tests.tiny_models import facts, make_model, teach

FACTS = facts(8)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows FACTS by heart."""
    return teach(make_model(tmp_path_factory.mktemp("taught")), FACTS)


@pytest.fixture(scope="module")
def chat(taught: Path) -> TransformersChat:
    return TransformersChat(taught, threads=1)


def question(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_model_answers_and_ends_its_answer(chat: TransformersChat) -> None:
    answer = chat.answer(question(FACTS[0]["instruction"]))
    assert answer.text == FACTS[0]["output"]
    assert answer.stopped == "end"
    assert answer.tokens > 3
    assert answer.seconds > 0


def test_an_answer_that_reaches_the_limit_says_so(chat: TransformersChat) -> None:
    answer = chat.answer(question(FACTS[0]["instruction"]), max_new_tokens=3)
    assert (answer.stopped, answer.tokens) == ("length", 3)
    assert FACTS[0]["output"].startswith(answer.text)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_answers_of_a_batch_are_those_of_single_questions(tmp_path: Path, family: str) -> None:
    chat = TransformersChat(make_model(tmp_path / "m", family), threads=1)
    asked = [question(row["instruction"] * n) for n, row in enumerate(FACTS, start=1)]
    together = chat.answers(asked, max_new_tokens=24)
    alone = [chat.answer(messages, max_new_tokens=24) for messages in asked]
    assert [a.text for a in together] == [a.text for a in alone]
    assert [(a.tokens, a.stopped) for a in together] == [(a.tokens, a.stopped) for a in alone]


def test_a_taught_model_answers_a_batch_in_its_order(chat: TransformersChat) -> None:
    answers = chat.answers([question(row["instruction"]) for row in FACTS])
    assert [a.text for a in answers] == [row["output"] for row in FACTS]


def test_a_temperature_makes_answers_differ(tmp_path: Path) -> None:
    chat = TransformersChat(make_model(tmp_path / "m"), threads=1)
    answers = {chat.answer(question("Where?"), 12, temperature=2.0).text for _ in range(4)}
    assert len(answers) > 1


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_pieces_of_an_answer_make_the_answer(tmp_path: Path, seed: int) -> None:
    # A model that was taught nothing writes bytes that are no characters, too.
    chat = TransformersChat(make_model(tmp_path / "m", seed=seed), threads=1)
    pieces: list[str] = []
    answer = chat.answer(question(f"Größe {seed}?"), 60, temperature=2.0, tell=pieces.append)
    assert len(pieces) > 1
    assert "".join(pieces) == answer.text


def test_pieces_never_tear_a_character(taught: Path) -> None:
    import torch

    _, tokenizer = load_model(taught, None)
    text = "Über die Straße: größer, 東京 und 🧵👩‍🌾!"
    tokens = tokenizer(f"  {text}\n\n", add_special_tokens=False)["input_ids"]
    assert len(tokens) > len(text)
    told: list[str] = []
    pieces = Pieces(tokenizer, end_tokens(tokenizer), told.append)
    pieces.put(torch.tensor([[1, 2, 3]]))
    for token in [*tokens, *end_tokens(tokenizer)]:
        pieces.put(torch.tensor([token]))
    pieces.finish(text)
    assert "".join(told) == text
    assert not any("\ufffd" in piece for piece in told)
    assert {"ü", "🧵", "京"} <= set("".join(told).lower())
    assert len(told) > 15


def test_an_answer_can_be_stopped_in_the_middle(chat: TransformersChat) -> None:
    pieces: list[str] = []
    asked = question(FACTS[0]["instruction"])
    stopped = chat.answer(asked, tell=pieces.append, should_stop=lambda: len(pieces) == 2)
    assert stopped.stopped == "stopped"
    assert "".join(pieces) == stopped.text
    assert FACTS[0]["output"].startswith(stopped.text)
    assert len(stopped.text) < len(FACTS[0]["output"])
    assert chat.answer(asked).text == FACTS[0]["output"]


def test_an_adapter_without_safetensors_is_refused(taught: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError) as caught:
        TransformersChat(taught, tmp_path)
    assert caught.value.code == "models.no_adapter"


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError) as caught:
        load_model(folder, None)
    assert caught.value.code == "models.cannot_load"
    assert str(folder) in caught.value.message


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    trace = tmp_path / "trace"
    (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass C: pass\n")
    config = '{"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}'
    (folder / "config.json").write_text(config)
    with pytest.raises(UserError) as caught:
        load_model(folder, None)
    assert caught.value.code == "models.cannot_load"
    assert not trace.exists()


def test_chatml_steps_in_where_its_tokens_exist(tmp_path: Path) -> None:
    _, tokenizer = load_model(make_model(tmp_path / "m", chat=False), None)
    assert tokenizer.chat_template == CHATML


def test_a_model_that_holds_no_conversations_is_refused() -> None:
    class Tokenizer:
        chat_template = None

        def get_vocab(self) -> dict[str, int]:
            return {"a": 0}

    with pytest.raises(UserError) as caught:
        ensure_template(Tokenizer(), "plain")
    assert caught.value.code == "models.no_chat_template"


def test_the_end_of_an_answer_is_read_from_the_template(taught: Path) -> None:
    _, tokenizer = load_model(taught, None)
    tokenizer.eos_token = "<|endoftext|>"
    ends = tokenizer.convert_ids_to_tokens(end_tokens(tokenizer))
    assert set(ends) == {"<|endoftext|>", "<|im_end|>"}


def test_a_prompt_ends_where_the_answer_begins(taught: Path) -> None:
    _, tokenizer = load_model(taught, None)
    text = tokenizer.decode(prompt_tokens(tokenizer, question("Wo steht die Harfe?")))
    assert text == "<|im_start|>user\nWo steht die Harfe?<|im_end|>\n<|im_start|>assistant\n"


THOUGHT = "<think>\n\n</think>\n\n"
TURN = "{% for message in messages %}<|im_start|>{{ message.role }}\n"
SAID = "{{ message.content }}<|im_end|>\n{% endfor %}"
THINKS = "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
ASKING = (
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is false %}" + THINKS + "{% endif %}"
)


@pytest.mark.parametrize(
    "template",
    [
        # The thought is only in what the model is asked with.
        TURN + SAID,
        # As it is, and it trims.
        TURN + SAID.replace("content", "content | trim"),
        # Qwen3's own way: the last answer shows it as well.
        TURN + "{% if message.role == 'assistant' and loop.last %}" + THINKS + SAID,
    ],
)
def test_an_answer_is_learnt_after_exactly_what_the_model_is_asked_with(
    taught: Path, template: str
) -> None:
    _, tokenizer = load_model(taught, None)
    tokenizer.chat_template = template + ASKING
    # The answer's own words are no mark of where it begins: they stand elsewhere as well.
    for answer in ("Im Turm.", "im", " end\n" if "trim" in template else "end"):
        asked = [{"role": "user", "content": "Wo ist im Turm.? end"}]
        said = [*asked, {"role": "assistant", "content": answer}]
        prompt, whole = prompt_tokens(tokenizer, asked), conversation_tokens(tokenizer, said)
        text = tokenizer.decode(whole)
        assert whole[: len(prompt)] == prompt
        assert text.endswith(f"assistant\n{THOUGHT}{answer.strip()}<|im_end|>\n")
        assert text.count("<think>") == 1


def test_memory_that_runs_out_is_said_in_words() -> None:
    import torch

    with pytest.raises(UserError) as caught, memory_errors():
        torch.zeros(1 << 50)
    assert caught.value.code == "models.out_of_memory"
    with pytest.raises(UserError), memory_errors():
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="shape"), memory_errors():
        raise RuntimeError("shape mismatch")


def test_threads_are_never_more_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil
    import torch

    from custom_ai.hardware import physical_cores

    before = torch.get_num_threads()
    try:
        assert use_threads(10_000, "org/name") == physical_cores() == torch.get_num_threads()
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert use_threads(0, "org/name") == 1 == torch.get_num_threads()
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.setattr(psutil, "getloadavg", lambda: (0.1, 0.0, 0.0))
        assert use_threads(0, "org/name") == physical_cores()
        monkeypatch.setattr(psutil, "getloadavg", lambda: (99.0, 0.0, 0.0))
        assert use_threads(0, "org/name") == 1
    finally:
        torch.set_num_threads(before)
