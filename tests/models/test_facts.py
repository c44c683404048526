"""What is known of a base model: from its files, from our table, from what the hub once said."""

import json
from pathlib import Path

import pytest

from custom_ai.export.preflight import is_checked, obstacle
from custom_ai.models import catalogue
from custom_ai.models.architectures import for_config
from custom_ai.models.catalogue import known, named, original_of
from custom_ai.models.facts import look_up
from tests.tiny_models import make_model


def test_the_starter_is_known_from_its_own_files() -> None:
    facts = look_up(named("starter"))
    assert (facts.here, facts.licence, facts.gated) == (True, "custom-ai", False)
    assert facts.languages == ("de", "en")
    assert (facts.tokenizer, facts.words) == ("BPE", 2048)
    assert facts.parameters == 5_639_424


def test_a_folder_tells_its_own_licence_and_size(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: de\n---\n# Model\n")
    facts = look_up(named(str(folder)))
    assert (facts.licence, facts.languages, facts.here) == ("apache-2.0", ("de",), True)
    assert facts.size == sum(path.stat().st_size for path in folder.iterdir())


def test_a_readme_nobody_can_read_says_nothing(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    (folder / "README.md").write_text("---\nlicense: [unclosed\n---\n")
    assert look_up(named(str(folder))).licence is None


def test_a_suggested_model_is_described_without_a_look_at_the_hub() -> None:
    facts = look_up(named("meta-llama/Llama-3.2-1B-Instruct"))
    assert (facts.here, facts.folder, facts.gated) == (False, None, True)
    assert facts.licence == "Llama 3.2"
    assert facts.size == pytest.approx(2 * 1_235_814_400, rel=1e-3)


def test_what_the_hub_said_is_shown_without_asking_again() -> None:
    file = catalogue.remembered_file("org/unknown")
    file.parent.mkdir(parents=True)
    said = {"size": 77, "parameters": 9, "gated": True, "card": {"license": "mit"}}
    file.write_text(json.dumps(said))
    facts = look_up(named("org/unknown"))
    assert (facts.size, facts.parameters, facts.gated, facts.licence) == (77, 9, True, "mit")


def test_every_model_of_the_table_can_be_trained_and_is_named_once() -> None:
    names = [model["name"] for model in known()]
    assert len(set(names)) == len(names)
    tags = [tag for model in known() for tag in model["ollama"]]
    assert len(set(tags)) == len(tags)
    for model in known():
        assert for_config(model["config"])


@pytest.mark.parametrize(
    ("tag", "family", "original"),
    [
        ("llama3.2:1b", "llama", "meta-llama/Llama-3.2-1B-Instruct"),
        ("llama3.2", "llama", "meta-llama/Llama-3.2-3B-Instruct"),
        ("qwen2.5:0.5b-instruct-q4_K_M", "qwen2", "Qwen/Qwen2.5-0.5B-Instruct"),
        ("qwen3:latest", "", "Qwen/Qwen3-8B"),
        ("llama3.2:1b", "gemma3", None),  # somebody gave the name to a model of their own
        ("llama3.2:1b-text-q4_0", "llama", None),
        ("mistral:7b-instruct-v0.2-q4_0", "llama", None),
        ("me/llama3.2:1b", "llama", None),
        ("gemma3:4b", "gemma3", None),
    ],
)
def test_only_the_originals_we_are_sure_of_are_named(
    tag: str, family: str, original: str | None
) -> None:
    assert original_of(tag, family) == original


def test_a_model_is_asked_before_its_training_whether_it_can_be_exported(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    facts = look_up(named(str(folder)))
    assert is_checked(facts)
    assert obstacle(facts, "gguf") is None

    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {"type": "Whitespace"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    wrong = obstacle(facts, "gguf")
    assert wrong is not None
    assert wrong.code == "export.unknown_tokenizer"
    assert obstacle(facts, "safetensors") is None


def test_a_tokenizer_of_no_known_form_is_no_crash(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    (folder / "tokenizer.json").write_text('{"model": 3}')
    facts = look_up(named(str(folder)))
    assert facts.tokenizer is None
    wrong = obstacle(facts, "gguf")
    assert wrong is not None
    assert wrong.hint


def test_a_model_that_is_not_here_is_not_called_checked() -> None:
    facts = look_up(named("mistralai/Mistral-7B-Instruct-v0.3"))
    assert not is_checked(facts)
    assert obstacle(facts, "gguf") is None
