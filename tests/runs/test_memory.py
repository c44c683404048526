"""Before a training starts, Ollama gives the memory of the models back that wrote its samples."""

from pathlib import Path

import pytest

from custom_ai import settings
from custom_ai.datasets.generate import GenerateOptions, generate
from custom_ai.projects.project import Project
from custom_ai.runs import requests, tasks
from custom_ai.runs import run as runs
from custom_ai.training import engine as engines
from custom_ai.training.engine import Job
from tests.datasets.corpus import Watch, make_project, prose
from tests.providers.fault_server import OLLAMA_MODELS, FaultServer


class Reached(Exception):
    """The training would start now."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    def begin(job: Job, step: object) -> None:
        raise Reached

    monkeypatch.setattr(engines, "train", begin)
    project = make_project({f"{name}.txt": prose(seed, 32) for seed, name in enumerate("abc")})
    with FaultServer() as server:
        options = GenerateOptions(count=6, model=OLLAMA_MODELS[0], base_url=server.ollama, budget=0)
        generate(project, "ollama", options, Watch(tmp_path).step)
    return project


def _train(project: Project, folder: Path) -> Watch:
    watch = Watch(folder)
    with pytest.raises(Reached):
        tasks.train(project, {}, watch.step)
    return watch


def test_the_models_of_the_samples_are_unloaded_and_no_others(
    project: Project, tmp_path: Path
) -> None:
    mine, *others = OLLAMA_MODELS
    with FaultServer() as server:
        settings.change("ollama_url", server.ollama)
        server.loaded = [mine, others[0]]
        watch = _train(project, tmp_path)
        assert server.loaded == [others[0]]
        assert [event["values"] for event in watch.of("log")] == [{"models": mine}]
        # What is not loaded is not asked for again.
        assert _train(project, tmp_path).of("log") == []


def test_the_judge_of_the_samples_is_unloaded_as_well(project: Project, tmp_path: Path) -> None:
    mine, judge, other = OLLAMA_MODELS
    runs.create(project, "judge", requests.judging("ollama", {"model": judge}), {})
    with FaultServer() as server:
        settings.change("ollama_url", server.ollama)
        server.loaded = [mine, judge, other]
        _train(project, tmp_path)
        assert server.loaded == [other]


def test_a_training_starts_without_ollama(project: Project, tmp_path: Path) -> None:
    settings.change("ollama_url", "http://127.0.0.1:9")
    assert _train(project, tmp_path).of("log") == []


def test_the_ollama_of_another_machine_keeps_its_models(project: Project, tmp_path: Path) -> None:
    settings.change("ollama_url", "http://ollama.invalid:11434")
    assert _train(project, tmp_path).of("log") == []
