"""Real local models write samples: llama.cpp's own server, held to our schema, end to end."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from custom_ai import settings
from custom_ai.datasets.collection import collect
from custom_ai.datasets.generate import GenerateOptions, generate
from custom_ai.datasets.journal import read
from custom_ai.datasets.judge import judge
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.datasets.opinions import BEST, SCORES
from custom_ai.datasets.prompts import SCHEMA
from custom_ai.datasets.trial import try_out
from custom_ai.errors import Stopped, UserError
from custom_ai.projects.project import Project
from custom_ai.providers import provider as providers
from custom_ai.providers.llama_process import LlamaProcess
from custom_ai.providers.provider import Message, ProviderOptions, Request, RunFatal, TooLong
from tests.datasets.corpus import Watch, fill_journal, make_project, prose
from tests.providers.tiny_gguf import write_talker


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_talker(tmp_path_factory.mktemp("talker") / "talker.gguf")


@pytest.fixture(scope="module")
def server(gguf_file: Path) -> Iterator[LlamaProcess]:
    llama = LlamaProcess(gguf_file, 1, None)
    llama.start(8192)
    yield llama
    llama.close()


@pytest.fixture
def project() -> Project:
    return make_project(
        {f"{name}.txt": prose(seed, 64) for seed, name in enumerate("abcdefghijkl")}
    )


def _request(text: str = "Write.", max_tokens: int = 2000) -> Request:
    return Request((Message("user", text),), SCHEMA, max_tokens, 0.8, 1)


def test_a_hundred_samples_of_a_gguf_file_are_written_and_judged(
    project: Project, gguf_file: Path
) -> None:
    watch = Watch(project.folder, wish=lambda: "pause" if len(watch.of("sample")) >= 100 else None)
    options = GenerateOptions(count=1000, model=str(gguf_file), pairs_per_request=5)
    with pytest.raises(Stopped):
        generate(project, "local", options, watch.step)
    samples = collect(project).samples
    assert len(samples) >= 100
    assert all(judged.sample.provider == "local" for judged in samples)
    for record in read(project.journal).of("answer"):
        assert isinstance(json.loads(record["text"])["pairs"], list)
        assert record["usage"]["prompt_tokens"] > 0


def test_a_gguf_file_judges_as_well(project: Project, gguf_file: Path) -> None:
    fill_journal(project, 16)
    open_ = sum(each.status == "accepted" for each in collect(project).samples)
    options = JudgeOptions(model=str(gguf_file), samples_per_request=2, temperature=0.8)
    done = judge(project, "local", options, Watch(project.folder).step)
    assert done.judged + done.given_up == open_ and done.left == 0
    assert done.judged > 0 and done.cost == 0
    for record in read(project.journal).of("verdict"):
        assert record["usage"]["prompt_tokens"] > 0
        for said in record["verdicts"]:
            assert all(1 <= said[name] <= BEST for name in SCORES)


def test_the_same_server_is_any_compatible_one(
    server: LlamaProcess, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", server.key.reveal())
    settings.change("openai_compatible_url", f"{server.url}/v1")
    provider = providers.find("openai_compatible")
    (model,) = asyncio.run(provider.models(ProviderOptions()))
    assert model.context > 0 and model.price is None
    done = try_out("openai_compatible", GenerateOptions())
    assert done.model == model.name and done.cost == 0


def test_a_text_longer_than_the_context_is_too_long_for_this_job_only(
    server: LlamaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", server.key.reveal())
    settings.change("openai_compatible_url", f"{server.url}/v1")
    provider = providers.find("openai_compatible")

    async def ask() -> None:
        async with provider.open(provider.options()) as session:
            await session.answer(_request("x" * 20_000))

    with pytest.raises(TooLong):
        asyncio.run(ask())


def test_an_answer_that_is_cut_off_says_so(gguf_file: Path) -> None:
    provider = providers.find("local")

    async def ask() -> str:
        options = provider.options.parse({"model": str(gguf_file)})
        async with provider.open(options) as session:
            return (await session.answer(_request(max_tokens=8))).finish_reason

    assert asyncio.run(ask()) == "length"


def test_a_model_whose_process_dies_stops_the_run_at_once(
    project: Project, gguf_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[LlamaProcess] = []
    real = LlamaProcess.start

    def start(llama: LlamaProcess, context: int) -> None:
        real(llama, context)
        started.append(llama)

    monkeypatch.setattr(LlamaProcess, "start", start)

    def kill(_: object) -> None:
        if started and started[0]._process is not None:
            threading.Timer(0.3, started[0]._process.kill).start()

    watch = Watch(project.folder, on_event=kill)
    began = time.monotonic()
    with pytest.raises(RunFatal) as caught:
        options = GenerateOptions(count=1000, model=str(gguf_file))
        generate(project, "local", options, watch.step)
    assert caught.value.code == "providers.local_died"
    assert time.monotonic() - began < 60
    assert list(read(project.journal).of("given_up")) == []


def test_a_file_that_is_not_there_is_named(project: Project) -> None:
    with pytest.raises(UserError) as caught:
        options = GenerateOptions(model="/nowhere/model.gguf")
        generate(project, "local", options, Watch(project.folder).step)
    assert caught.value.code == "providers.local_no_file"
