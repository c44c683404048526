"""llama.cpp in its own process: it answers, and its worst day is a message, not our end."""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from custom_ai.errors import UserError
from custom_ai.providers import llama_process, local
from custom_ai.providers.gguf_header import read_header
from custom_ai.providers.llama_process import LlamaCppFailure
from custom_ai.providers.local import ANY_SEED, LlamaCpp
from tests.processes import is_at_work

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# One token for each byte, then the three special ones.
END, START = 256, 257


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of one layer that knows bytes and ChatML."""
    import gguf

    path = tmp_path_factory.mktemp("local") / "tiny.gguf"
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 1000))
    letters = [chr(b) if b in plain else chr(next(others)) for b in range(256)]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*letters, "<|im_end|>", "<|im_start|>"])
    writer.add_token_types([1] * 256 + [3, 3])
    writer.add_token_merges([f"{letters[97]} {letters[98]}"])
    writer.add_eos_token_id(END)
    writer.add_chat_template(TEMPLATE)
    draw = np.random.default_rng(3)
    shapes = {"token_embd.weight": (258, 64), "output.weight": (258, 64)}
    shapes |= {f"blk.0.attn_{n}.weight": (64, 64) for n in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{n}.weight": (64, 64) for n in ("gate", "up", "down")}
    for name, shape in shapes.items():
        writer.add_tensor(name, draw.normal(0, 0.3, shape).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(64, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def model(gguf_file: Path) -> Iterator[LlamaCpp]:
    with LlamaCpp(gguf_file, threads=1) as loaded:
        yield loaded


def _worker() -> psutil.Process:
    """llama.cpp's process, among whatever else earlier tests have started and left to be buried."""
    children = psutil.Process().children()
    (worker,) = [child for child in children if is_at_work(child, "llama_worker")]
    return worker


def test_texts_become_tokens_and_special_ones_count(model: LlamaCpp) -> None:
    assert model.tokenize("ü<|im_end|>") == [*"ü".encode(), END]


def test_a_dialogue_is_put_in_the_models_own_template(model: LlamaCpp) -> None:
    text = model.render([{"role": "user", "content": "Größe?"}])
    assert text == "<|im_start|>user\nGröße?<|im_end|>\n<|im_start|>assistant\n"


def test_an_answer_tells_why_it_ended(model: LlamaCpp) -> None:
    answer = model.complete(list(b"abc"), max_tokens=5)
    assert answer.stopped == "length"
    assert len(answer.tokens) == 5 and answer.prompt_tokens == 3
    assert model.complete(list(b"abc"), max_tokens=5) == answer


def test_chat_asks_with_the_template(model: LlamaCpp) -> None:
    question = [{"role": "user", "content": "a"}]
    answer = model.chat(question, max_tokens=4)
    assert answer == model.complete(model.tokenize(model.render(question)), max_tokens=4)


def test_a_probe_tells_the_odds_of_each_place(model: LlamaCpp) -> None:
    places = model.probe(list(b"abc"), 6, n_probs=258)
    told = [place for place in places if place.logprobs]
    assert len(places) == 6 and told
    for place in told:
        assert max(place.logprobs, key=lambda i: place.logprobs[i]) == place.token
        assert sum(np.exp(list(place.logprobs.values()))) == pytest.approx(1, abs=1e-3)


def test_temperature_and_seed_decide_what_is_drawn(model: LlamaCpp) -> None:
    drawn = [model.complete(list(b"ab"), 8, temperature=2.0, seed=s).tokens for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_without_a_fixed_seed_answers_differ(model: LlamaCpp) -> None:
    drawn = {model.complete(list(b"ab"), 8, 2.0, ANY_SEED).tokens for _ in range(4)}
    assert len(drawn) > 1


def test_the_pieces_of_an_answer_make_the_answer(model: LlamaCpp) -> None:
    pieces: list[str] = []
    question = [{"role": "user", "content": "Größe?"}]
    answer = model.chat(question, max_tokens=40, tell=pieces.append)
    assert len(pieces) > 5
    assert "".join(pieces) == answer.text
    assert answer == model.chat(question, max_tokens=40)


def test_an_answer_can_be_stopped_in_the_middle(model: LlamaCpp) -> None:
    pieces: list[str] = []
    question = [{"role": "user", "content": "a"}]
    stopped = model.chat(question, 100, tell=pieces.append, should_stop=lambda: len(pieces) == 3)
    assert stopped.stopped == "stopped"
    assert len(pieces) == 3
    whole = model.chat(question, 100)
    assert whole.text.startswith(stopped.text)
    assert len(whole.tokens) > len(stopped.tokens)


def test_a_question_that_is_too_long_is_told_with_both_numbers(gguf_file: Path) -> None:
    # More than the model was made for is never given.
    model = LlamaCpp(gguf_file, threads=1, context=100000)
    with model, pytest.raises(UserError) as caught:
        model.complete([97] * 300)
    assert caught.value.code == "export.llama_context"
    assert caught.value.values == {"tokens": "300", "limit": "256"}


def test_a_crash_of_llama_cpp_is_a_message(gguf_file: Path) -> None:
    with LlamaCpp(gguf_file, threads=1) as model:
        _worker().kill()
        with pytest.raises(UserError) as caught:
            model.complete([97])
    assert caught.value.code == "export.llama_crashed"
    assert isinstance(caught.value.__cause__, LlamaCppFailure)


def test_an_answer_that_takes_too_long_is_told(
    gguf_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_process, "_ANSWER_SECONDS", 0.5)
    with LlamaCpp(gguf_file, threads=1) as model:
        worker = _worker()
        worker.suspend()
        with pytest.raises(UserError) as caught:
            model.complete([97])
        worker.resume()
    assert caught.value.code == "export.llama_timeout"


def test_nobody_without_the_key_gets_an_answer(model: LlamaCpp) -> None:
    model._llama._key = "wrong"
    with pytest.raises(UserError, match="Invalid API Key"):
        model.complete([97])


def test_a_file_llama_cpp_refuses_leaves_its_words_in_the_log(
    gguf_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf_file.read_bytes().replace(b"blk.0.ffn_down", b"blk.0.ffn_nown"))
    log = tmp_path / "llama.log"
    with pytest.raises(UserError) as caught, LlamaCpp(broken, threads=1, log=log):
        pass
    assert caught.value.code == "export.llama_does_not_load"
    assert "ffn_down" in str(caught.value.__cause__)
    assert "ffn_down" in log.read_text(errors="replace")
    assert capfd.readouterr() == ("", "")


def test_nothing_stays_running(gguf_file: Path) -> None:
    with LlamaCpp(gguf_file, threads=1):
        worker = _worker()
        assert worker.is_running()
    assert not worker.is_running()


def test_the_worker_ends_with_a_parent_that_was_killed(gguf_file: Path) -> None:
    program = (
        "import sys, time, psutil\n"
        "from pathlib import Path\n"
        "from custom_ai.providers.local import LlamaCpp\n"
        "with LlamaCpp(Path(sys.argv[1]), threads=1):\n"
        "    print(psutil.Process().children()[0].pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(gguf_file)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(local.__file__).parents[2])},
    )
    with parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    deadline = time.monotonic() + 10
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_header_is_read_without_llama_cpp(gguf_file: Path) -> None:
    header = read_header(gguf_file)
    assert header.architecture == "llama"
    assert header.context_length == 256
    assert header.values["tokenizer.chat_template"] == TEMPLATE
    assert header.tensors["output.weight"] == ((64, 258), 0)


def test_a_file_cut_off_anywhere_is_refused_in_words(gguf_file: Path, tmp_path: Path) -> None:
    data, cut = gguf_file.read_bytes(), tmp_path / "cut.gguf"
    for part in range(40):
        cut.write_bytes(data[: len(data) * part // 40])
        with pytest.raises(UserError, match=r"cut\.gguf"):
            read_header(cut)


def test_a_damaged_header_never_raises_anything_else(gguf_file: Path, tmp_path: Path) -> None:
    data, bad = gguf_file.read_bytes(), tmp_path / "bad.gguf"
    draw = random.Random(5)
    refused = 0
    for _ in range(300):
        changed = bytearray(data)
        place = draw.randrange(9000)
        changed[place : place + 8] = draw.randbytes(draw.randrange(1, 9))
        bad.write_bytes(changed)
        try:
            read_header(bad)
        except UserError as error:
            assert error.code == "export.gguf_damaged"
            json.dumps(error.as_json())
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("count", [1 << 17, 1 << 40, (1 << 64) - 1])
def test_absurd_counts_are_refused_at_once(count: int, tmp_path: Path) -> None:
    file = tmp_path / "absurd.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, count, 1) + bytes(100))
    start = time.monotonic()
    with pytest.raises(UserError, match="too many entries"):
        read_header(file)
    assert time.monotonic() - start < 1
