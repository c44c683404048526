"""Without any model, any key and any network, both languages give samples that pass the checks."""

import socket

import pytest

from custom_ai.datasets.generate import Generated, GenerateOptions, generate
from custom_ai.datasets.sample import read_samples
from custom_ai.projects.database import connect
from custom_ai.projects.project import Project
from tests.datasets.corpus import Watch, make_project

GERMAN = """Der Leuchtturm ist ein Turm, der Schiffen bei Nacht den Weg zeigt.
Kupfer leitet Wärme etwa achtmal besser als gewöhnlicher Stahl.
Die Alpen entstanden vor etwa 135 Millionen Jahren durch den Zusammenstoß zweier Platten.
Bienen bestäuben in jedem Sommer viele tausend Blüten verschiedener Pflanzen.
Ein Thermometer ist ein Gerät, mit dem man die Temperatur eines Körpers misst.
Der Bodensee liegt im Süden Deutschlands und grenzt an drei Länder.
Papier wurde vor etwa 2000 Jahren in China aus Pflanzenfasern erfunden.
Ein Archipel ist eine Gruppe von Inseln, die nahe beieinander im Meer liegen."""
ENGLISH = """The lighthouse is a tower that shows ships their way at night.
Copper conducts heat about eight times better than ordinary steel.
The Alps were formed about 135 million years ago when two plates collided.
Bees pollinate many thousand flowers of various plants every summer.
A thermometer is an instrument with which the temperature of a body is measured.
Lake Constance lies in the south of Germany and borders on three countries.
Paper was invented in China about 2000 years ago from the fibres of plants.
An archipelago is a group of islands which lie close together in the sea."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _project(language: str) -> Project:
    """Four documents of two sentences each."""
    sentences = (GERMAN if language == "de" else ENGLISH).splitlines()
    documents = {f"{n}.txt": " ".join(sentences[2 * n : 2 * n + 2]) for n in range(4)}
    project = make_project(documents)
    with connect(project.database) as db:
        db.execute("UPDATE sources SET language = ?", (language,))
    return project


def _generate(project: Project, count: int) -> Generated:
    return generate(project, "extractive", GenerateOptions(count=count), Watch(project.folder).step)


@pytest.mark.parametrize("language", ["de", "en"])
def test_samples_come_without_a_model(language: str) -> None:
    project = _project(language)
    done = _generate(project, 4)
    samples = list(read_samples(project.samples))
    assert done.accepted == len(samples) == 4
    assert (done.cost, done.given_up) == (0, 0)
    assert {sample.model for sample in samples} == {"extractive"}
    assert all(sample.quote_start is not None for sample in samples)
    assert len({sample.filename for sample in samples}) == 4


def test_asking_for_more_brings_others_until_there_are_none() -> None:
    project = _project("de")
    _generate(project, 4)
    first = list(read_samples(project.samples))
    most = _generate(project, 1000)
    samples = list(read_samples(project.samples))
    assert samples[:4] == first and len(samples) == most.accepted >= 7
    assert len({sample.instruction for sample in samples}) == len(samples)
    again = _generate(project, 1000)
    assert (again.accepted, again.requests) == (most.accepted, 0)
