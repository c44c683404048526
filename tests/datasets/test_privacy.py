"""No passage leaves this machine before people have agreed to it for this project."""

import pytest

from custom_ai import settings
from custom_ai.datasets import privacy
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.runs import tasks
from tests.datasets.corpus import Watch, make_project, prose


@pytest.fixture
def project() -> Project:
    return make_project({"a.txt": prose(0, 32)})


@pytest.mark.parametrize(
    ("provider", "url", "host"),
    [
        ("openrouter", "", "openrouter.ai"),
        ("openrouter", "http://127.0.0.1:8080/v1", ""),
        ("openrouter", "https://proxy.example.org/v1", "proxy.example.org"),
        ("ollama", "", ""),
        ("ollama", "http://[::1]:11434", ""),
        ("ollama", "http://localhost:11434", ""),
        ("ollama", "http://192.168.1.7:11434", "192.168.1.7"),
        ("extractive", "", ""),
        ("extractive", "https://example.org", ""),
    ],
)
def test_where_passages_go_is_known(provider: str, url: str, host: str) -> None:
    assert privacy.destination(provider, url) == host


def test_the_address_in_the_settings_counts() -> None:
    settings.change("ollama_url", "http://big-machine.local:11434")
    assert privacy.destination("ollama") == "big-machine.local"


def test_an_agreement_is_kept_with_its_time_and_can_be_taken_back(project: Project) -> None:
    options = {"provider": "openrouter", "base_url": ""}
    with pytest.raises(UserError) as caught:
        privacy.require(project, options)
    assert caught.value.code == "datasets.no_consent"
    assert "openrouter.ai" in caught.value.message
    privacy.agree(project, "openrouter.ai", "openrouter")
    privacy.require(project, options)
    said = privacy.consented(project, "openrouter.ai")
    assert said and said["provider"] == "openrouter" and said["time"].startswith("20")
    with pytest.raises(UserError):
        privacy.require(project, {**options, "base_url": "https://elsewhere.example.org"})
    with pytest.raises(UserError):
        privacy.require(make_project({}, name="Other"), options)
    privacy.take_back(project, "openrouter.ai")
    with pytest.raises(UserError):
        privacy.require(project, options)


def test_however_a_run_is_started_it_sends_nothing_without_it(project: Project) -> None:
    options = {"provider": "openrouter", "model": "maker/model"}
    with pytest.raises(UserError, match=r"openrouter\.ai"):
        tasks.generate_samples(project, options, Watch(project.folder).step)
    assert not project.journal.exists()
