import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from custom_ai.errors import UserError
from custom_ai.models.catalogue import STARTER, fetch, list_known, resolve
from tests.tiny_models import make_model

CLOSED = "http://127.0.0.1:9"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def code_of(name: str) -> UserError:
    with pytest.raises(UserError) as caught:
        resolve(name)
    assert caught.value.hint
    return caught.value


def resolve_elsewhere(name: str, tmp_path: Path, **environment: str) -> str:
    """The hub's library reads its switches when imported, so each case has its own process."""
    return run_elsewhere(RESOLVE, name, tmp_path, **environment)


RESOLVE = """
    model = resolve(sys.argv[1])
    print('found', model.kind, model.path, model.tokenizer_file(), fetch(model))
"""

CHOOSE = """
    facts = look_up(choose(sys.argv[1]))
    print('chosen', facts.here, facts.gated, facts.licence, facts.languages, facts.parameters,
          facts.tokenizer)
"""


def run_elsewhere(body: str, name: str, tmp_path: Path, **environment: str) -> str:
    program = (
        "import sys\n"
        "from custom_ai.errors import UserError\n"
        "from custom_ai.models.catalogue import choose, fetch, resolve\n"
        "from custom_ai.models.facts import look_up\n"
        f"try:{body}"
        "except UserError as error:\n"
        "    print(error.code, '|', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, name],
        env={
            **os.environ,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "0",
            "CUSTOM_AI_LANGUAGE": "en",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_the_starter_is_part_of_the_package() -> None:
    found = resolve(STARTER)
    assert (found.name, found.kind) == (STARTER, "starter")
    assert found.tokenizer_file() == Path(found.path) / "tokenizer.json"
    assert fetch(found) == Path(found.path)


def test_a_folder_with_a_model_is_taken(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = resolve(str(model))
    assert (found.kind, found.path) == ("folder", str(model))
    assert found.tokenizer_file() == model / "tokenizer.json"
    monkeypatch.chdir(model.parent)
    assert resolve("model") == found


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_what_a_folder_lacks_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    error = code_of(str(model))
    assert error.code == "models.missing_files"
    assert error.values["missing"] == name.replace("model.", "*.")


def test_a_missing_part_of_the_weights_is_named(model: Path) -> None:
    parts = {"a": "model.safetensors", "b": "model-2.safetensors"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    error = code_of(str(model))
    assert (error.code, error.values["missing"]) == ("models.missing_files", "model-2.safetensors")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_weights_that_can_carry_programs_are_refused(model: Path, name: str) -> None:
    (model / "model.safetensors").rename(model / name)
    assert code_of(str(model)).code == "models.unsafe_weights"


def test_a_gguf_file_is_refused_with_its_reason(model: Path) -> None:
    (model / "model.safetensors").rename(model / "model.gguf")
    assert code_of(str(model)).code == "models.gguf_weights"


def test_an_architecture_we_cannot_export_is_refused(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["architectures"] = ["StrangeForCausalLM"]
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError):
        resolve(str(model))


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    error = code_of(str(tmp_path / "nothing"))
    assert error.code == "models.no_folder"
    assert "nothing" in error.message


@pytest.mark.parametrize("name", ["word", "", "a/b/c", "http://host/model", "org/"])
def test_any_other_word_is_answered_with_the_possibilities(name: str) -> None:
    error = code_of(name)
    assert error.code == "models.unknown"
    assert STARTER in error.hint


def test_a_hub_that_cannot_be_reached_is_told_apart(tmp_path: Path) -> None:
    said = resolve_elsewhere("org/name", tmp_path, HF_ENDPOINT=CLOSED)
    assert said.startswith("models.hub_unreachable")
    assert "org/name" in said


@pytest.fixture
def hub() -> Iterator[str]:
    """A hub that refuses in the way the model's name says."""
    answers = {
        "gated": (403, {"X-Error-Code": "GatedRepo"}),
        "missing": (404, {"X-Error-Code": "RepoNotFound"}),
        "broken": (418, {}),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers = answers[urlsplit(self.path).path.rsplit("/", 1)[1]]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("gated", "hub_no_access"),
        ("missing", "hub_not_found"),
        ("broken", "hub_refused"),
    ],
)
def test_a_refusal_of_the_hub_says_what_to_do(
    name: str, code: str, hub: str, tmp_path: Path
) -> None:
    said = resolve_elsewhere(f"org/{name}", tmp_path, HF_ENDPOINT=hub)
    assert said.startswith(f"models.{code} |")


def test_a_switched_off_hub_is_told_apart(tmp_path: Path) -> None:
    said = resolve_elsewhere("org/name", tmp_path, HF_HUB_OFFLINE="1")
    assert said.startswith("models.hub_offline")


def test_a_model_downloaded_before_needs_no_hub(model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "hf" / "hub" / "models--org--name"
    snapshot = cache / "snapshots" / ("0" * 40)
    shutil.copytree(model, snapshot)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0" * 40)
    for environment in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": CLOSED}):
        said = resolve_elsewhere("org/name", tmp_path, **environment)
        assert said == f"found hub org/name {snapshot / 'tokenizer.json'} {snapshot}"


def test_suggestions_are_described_and_begin_with_the_starter() -> None:
    known = list_known()
    assert known[0]["name"] == STARTER
    assert all(entry["description"] for entry in known)
    assert [k["parameters"] for k in known] == sorted(k["parameters"] for k in known)


@pytest.fixture
def generous_hub(model: Path) -> Iterator[tuple[str, list[str]]]:
    """A hub with one model, and the names of the files that were downloaded from it."""
    sha = "1" * 40
    fetched: list[str] = []
    info = {
        "id": "org/name",
        "sha": sha,
        "private": False,
        "gated": "manual",
        "tags": [],
        "downloads": 1,
        "cardData": {"license": "mit", "language": ["de"]},
        "safetensors": {"parameters": {"BF16": 123}, "total": 123},
        "siblings": [
            {"rfilename": path.name, "size": path.stat().st_size} for path in model.iterdir()
        ],
    }

    tree = [
        {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": "2" * 40}
        for path in model.iterdir()
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            path = urlsplit(self.path).path
            name = path.rsplit("/", 1)[1]
            if "/tree/" in path:
                body = json.dumps(tree).encode()
            elif path.startswith("/api/"):
                body = json.dumps(info).encode()
            else:
                body = (model / name).read_bytes()
                if with_body:
                    fetched.append(name)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{name}"')
            self.send_header("X-Repo-Commit", sha)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", fetched
        server.shutdown()


def choose_elsewhere(tmp_path: Path, endpoint: str) -> str:
    return run_elsewhere(CHOOSE, "org/name", tmp_path, HF_ENDPOINT=endpoint)


def test_choosing_a_model_of_the_hub_fetches_no_weights(
    generous_hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    endpoint, fetched = generous_hub
    said = choose_elsewhere(tmp_path, endpoint)
    assert said == "chosen False True mit ('de',) 123 BPE"
    assert "tokenizer.json" in fetched
    assert not [name for name in fetched if name.endswith(".safetensors")]


def test_a_model_we_cannot_train_is_refused_before_its_weights_are_fetched(
    model: Path, generous_hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    config = json.loads((model / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq"}
    (model / "config.json").write_text(json.dumps(config))
    assert choose_elsewhere(tmp_path, generous_hub[0]).startswith("export.quantized_base |")
    assert "model.safetensors" not in generous_hub[1]


@pytest.mark.parametrize("name", ["~nobody/model", "/" + "x" * 5000, "./\0"])
def test_odd_paths_are_answered_like_missing_ones(name: str) -> None:
    assert code_of(name).code == "models.no_folder"
