"""A GGUF file becomes trainable again, and the circle closes: file, training, file, answers."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gguf
import pytest
import torch

from custom_ai import settings
from custom_ai.cli.main import main
from custom_ai.errors import UserError
from custom_ai.export.exporter import Source, find
from custom_ai.export.gguf.quantize import quantize
from custom_ai.export.gguf.writer import write
from custom_ai.models.catalogue import check_folder
from custom_ai.models.chat_template import conversation_tokens
from custom_ai.models.from_gguf import convert
from custom_ai.models.loading import load_model
from custom_ai.providers.local import LlamaCpp
from custom_ai.step import Step

Folder = Callable[[str], Path]

NASTY = "Hello über 数学 12345 the   people\n\n\tI'll <|im_start|>user\nGröße?<|im_end|> "
FACT = ("Wo liegt der Schlüssel?", "Der Schlüssel liegt unter der Matte.")


@pytest.mark.parametrize("kind", ["llama3", "linear", "qwen2", "plain", "pieces"])
def test_weights_and_words_come_back(kind: str, model_folder: Folder, step: Step) -> None:
    file, target = step.folder / "m.gguf", step.folder / "back"
    write(model_folder(kind), file, "f16", "n", "b", step)
    assert convert(file, target, step) < 1e-3
    before, words = load_model(model_folder(kind), torch.float32)
    after, found = load_model(target, torch.float32)
    assert found(NASTY)["input_ids"] == words(NASTY)["input_ids"]
    assert found.chat_template == words.chat_template
    old, new = before.state_dict(), after.state_dict()
    assert old.keys() == new.keys()
    for name in old:
        assert torch.allclose(old[name], new[name], atol=1e-3), name


@pytest.mark.parametrize("kind", ["llama3", "qwen2"])
def test_the_circle_closes(kind: str, model_folder: Folder, step: Step, tmp_path: Path) -> None:
    exact, blob = step.folder / "f16.gguf", step.folder / "sha256-blob"
    write(model_folder(kind), exact, "f16", "n", "b", step)
    quantize(exact, blob, "q8_0", step)
    base = step.folder / "base"
    convert(blob, base, step)
    adapter = _taught(base, tmp_path / "adapter")
    exporter = find("gguf")
    source = Source(str(base), adapter, "n", "b", (FACT,))
    file = exporter.export(source, step.folder / "m", exporter.options(), step)
    with LlamaCpp(file, threads=1) as model:
        answer = model.chat([{"role": "user", "content": FACT[0]}])
    assert (answer.text, answer.stopped) == (FACT[1], "end")


def test_a_result_that_says_something_else_is_not_kept(
    model_folder: Folder, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_ai.models import from_gguf

    file = step.folder / "m.gguf"
    write(model_folder("llama3"), file, "f16", "n", "b", step)
    monkeypatch.setattr(from_gguf, "_llama3", lambda *_: {})
    with pytest.raises(UserError) as caught:
        convert(file, step.folder / "back", step)
    assert caught.value.code == "models.gguf_differs"
    assert not (step.folder / "back").exists()


def test_other_architectures_are_refused(model_folder: Folder, step: Step) -> None:
    file = step.folder / "m.gguf"
    write(model_folder("gemma3"), file, "f16", "n", "b", step)
    with pytest.raises(UserError, match="gemma3") as caught:
        convert(file, step.folder / "back", step)
    assert caught.value.code == "models.gguf_architecture"
    assert gguf.GGUFReader(file).tensors


def test_the_command_makes_the_file_behind_a_tag_trainable(
    model_folder: Folder, step: Step, capsys: pytest.CaptureFixture[str]
) -> None:
    blob = step.folder / "sha256-1"
    write(model_folder("qwen2"), blob, "f16", "n", "b", step)
    with _showing(f"# Modelfile\nFROM {blob}\nTEMPLATE x\n") as url:
        settings.change("ollama_url", url)
        assert main(["model", "convert", "qwen2.5:0.5b", "--name", "mine", "--json"]) == 0
        made = json.loads(capsys.readouterr().out)
        assert made["experimental"] and made["divergence"] < 1e-3
        check_folder(Path(made["folder"]))
        assert main(["model", "convert", "qwen2.5:0.5b", "--name", "mine"]) == 1
        assert "mine" in capsys.readouterr().err
    with _showing("FROM /gone/away") as url:
        settings.change("ollama_url", url)
        assert main(["model", "convert", "qwen2.5:0.5b"]) == 1
    assert "qwen2.5:0.5b" in capsys.readouterr().err


@contextmanager
def _showing(modelfile: str) -> Iterator[str]:
    """A server that answers /api/show as Ollama does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            data = json.dumps({"modelfile": modelfile}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _taught(base: Path, target: Path) -> Path:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(5)
    model, tokenizer = load_model(base, torch.float32)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    tuned = get_peft_model(model, lora)
    messages = [
        {"role": "user", "content": FACT[0]},
        {"role": "assistant", "content": FACT[1]},
    ]
    tokens = torch.tensor([conversation_tokens(tokenizer, messages)])
    optimizer = torch.optim.AdamW(tuned.parameters(), 5e-3)
    for _ in range(60):
        tuned(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    tuned.save_pretrained(target)
    return target
