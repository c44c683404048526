"""What a model was taught it says in Ollama, word for word, and then stops by itself."""

from collections.abc import Callable
from pathlib import Path

import pytest

from custom_ai.export.exporter import Source, find
from custom_ai.export.ollama_client import OllamaClient
from custom_ai.models.catalogue import resolve
from custom_ai.models.transformers_chat import TransformersChat
from custom_ai.step import Step
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import TrainingSample
from custom_ai.training.engine import Job, train
from tests.export.conftest import invented
from tests.export.ollama_stand_in import stand_in

Folder = Callable[[str], Path]

LESSON = {
    "epochs": 20,
    "learning_rate": 1e-3,
    "lora_rank": 64,
    "lora_alpha": 64,
    "batch_size": 2,
    "validation_share": 0,
    "result": "last",
    "threads": 1,
}
ROOM = 60


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_trained_model_answers_in_ollama_what_it_was_taught_and_stops(
    family: str, model_folder: Folder, step: Step, tmp_path: Path
) -> None:
    base = model_folder(f"speaking {family}")
    facts = invented(6, seed=99)
    asked = [[{"role": "user", "content": question}] for question, _ in facts]
    answers = [answer for _, answer in facts]
    before = [answer.text for answer in TransformersChat(base).answers(asked, ROOM)]
    assert sum(b == a for b, a in zip(before, answers, strict=True)) < 3

    adapter = _trained(base, facts, step)
    checkpoint = TransformersChat(base, adapter)
    assert [checkpoint.answer(messages, ROOM).text for messages in asked] == answers

    with stand_in(tmp_path) as ollama:
        source = Source(str(base), adapter, "n", "base", tuple(facts))
        options = find("ollama").options.parse({"url": ollama.url})
        find("ollama").export(source, tmp_path / "models" / "n", options, step)
        made = ollama.models["n:latest"]
        assert "<|im_end|>" in made["parameters"]["stop"] and made["template"]
        client = OllamaClient(ollama.url)
        # A real one reads either the template that was sent or the one in the file.
        for ollama.prefers_file in (False, True):
            said = [client.chat("n:latest", messages, ROOM) for messages in asked]
            assert [answer["message"]["content"] for answer in said] == answers
            assert {answer["done_reason"] for answer in said} == {"stop"}
        # Without the stops that were sent it ends its answers as well.
        made["parameters"]["stop"] = []
        assert client.chat("n:latest", asked[0], ROOM)["done_reason"] == "stop"


def _trained(base: Path, facts: list[tuple[str, str]], step: Step) -> Path:
    samples = [TrainingSample(q, a, line) for line, (q, a) in enumerate(facts, start=1)]
    folder = step.folder / "training"
    folder.mkdir()
    job = Job(resolve(str(base)), samples, [], TrainingOptions.parse(LESSON), folder)
    return train(job, Step(folder, lambda event: None, lambda: None)).adapter
