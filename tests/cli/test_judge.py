"""Samples are judged on the command line, by a run in a process of its own."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from custom_ai import settings
from custom_ai.datasets.sample import read_samples
from custom_ai.files import read_json
from custom_ai.projects import project as projects
from custom_ai.runs import requests, runner
from custom_ai.runs import run as runs
from custom_ai.runs.standing import Standing
from tests.cli.test_command_line import assert_clear, language, say
from tests.datasets.corpus import fill_journal, make_project, prose
from tests.providers.fault_server import GOOD, KEY, FaultServer
from tests.runs.test_keys import Lookout

__all__ = ["language", "say"]

BAD = {"supported": 1, "answers": 5, "clear": 4, "reason": "Davon sagt der Text nichts."}


@pytest.fixture(autouse=True)
def samples(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    project = make_project({"a.txt": prose(0, 32), "b.txt": prose(1, 32)}, name="one")
    fill_journal(project, 40)


def _command(server: FaultServer, *more: str) -> list[str]:
    where = ["--base-url", server.openrouter, "--model", "maker/judge", "--provider", "openrouter"]
    return ["samples", "judge", "one", *where, *more]


def test_samples_are_judged_filtered_and_put_back_by_another_least_score(say: Any) -> None:
    before = len(say("samples", "list", "one", "--status", "accepted", "--json").json)
    with FaultServer() as server:
        server.verdict = lambda row: BAD if row["number"] == 1 else GOOD
        foreseen = say(*_command(server, "--estimate", "--json")).json
        assert foreseen["missing"] == before and server.total == 0
        seen = say(*_command(server, "--preview", "--json")).json
        assert seen["body"]["model"] == "maker/judge" and KEY not in json.dumps(seen)
        words = say(*_command(server, "--preview")).out
        assert f"POST {server.openrouter}/chat/completions" in words and server.total == 0
        spoken = say(*_command(server))
        assert spoken.code == 0, spoken.err
        assert f"{before} samples have a verdict" in spoken.out
        assert f"{before} samples are to be judged" in spoken.err
        asked = server.total
        again = say(*_command(server, "--json")).json
        assert (again["judged"], again["requests"]) == (before, 0)
        doubted = say("samples", "list", "one", "--judged", "1", "--json").json
        assert len(doubted) == again["doubted"] > 0
        assert {each["status"] for each in doubted} == {"quarantined"}
        assert {each["judge"]["supported"] for each in doubted} == {1}
        shown = say("samples", "history", "one", doubted[0]["id"]).out
        assert f"judge: 1/5/4 {BAD['reason']}" in shown
        say("samples", "check", "one", "--judge-least", "1")
        assert server.total == asked
    project = projects.find("one")
    assert len(list(read_samples(project.samples))) == before


def test_the_run_shows_progress_and_is_continued_after_a_pause() -> None:
    project = projects.find("one")
    with FaultServer(delay=0.1) as server:
        wished = {"base_url": server.openrouter, "model": "maker/judge", "concurrency": 1}
        options = requests.judging("openrouter", wished)
        run, _ = runner.start(project, "judge", options)
        for event in runner.events(run):
            if event["kind"] == "progress" and event["done"]:
                with contextlib.suppress(Exception):
                    run.ask("pause")
        assert run.state == "paused"
        standing = Standing(run).read()
        assert 0 < standing.done < standing.total and standing.unit == "samples"
        again, continued = runner.start(project, "judge", options)
        assert continued and again.number == run.number
        runner.wait(again)
        assert again.state == "finished"
        assert set(server.judged.values()) == {1}
        assert (again.result() or {})["left"] == 0


def test_the_key_is_nowhere_but_in_the_request(own_home: Path) -> None:
    project = projects.find("one")
    with FaultServer(("echo", "", "401"), delay=0.1) as server, Lookout() as lookout:
        server.on_answer = lookout.look
        server.verdict = lambda row: {**GOOD, "reason": f"Er heißt {KEY}."}
        wished = {"base_url": server.openrouter, "model": "maker/judge", "concurrency": 1}
        run, _ = runner.start(project, "judge", requests.judging("openrouter", wished))
        runner.wait(run)
        assert run.state == "failed" and server.keys == {f"Bearer {KEY}"}
    assert not any(KEY in said.partition(" {")[0] for said in lookout.seen.values())
    assert not [p for p in own_home.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


def test_nothing_is_sent_before_people_agreed(
    say: Any, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.change("openrouter_url", "https://openrouter.invalid/api/v1")
    with FaultServer() as server:
        words = ["samples", "judge", "one", "--provider", "openrouter", "--model", "maker/judge"]
        assert_clear(say(*words, "--json"), language, "datasets.no_consent")
        assert "--yes" in say(*words).err
        assert server.total == 0
    assert runs.all_runs(projects.find("one")) == []
    # The run itself refuses as well, however it was started.
    options = requests.judging("openrouter", {"model": "maker/judge"})
    run, _ = runner.start(projects.find("one"), "judge", options)
    runner.wait(run)
    assert (run.error() or {})["code"] == "datasets.no_consent"


def test_what_can_not_judge_says_so(say: Any, language: str) -> None:
    spoken = say("samples", "judge", "one", "--provider", "extractive", "--json")
    assert_clear(spoken, language, "datasets.cannot_judge")


def test_a_project_without_samples_says_so(say: Any, language: str) -> None:
    make_project({"c.txt": prose(2, 32)}, name="two")
    with FaultServer() as server:
        words = _command(server, "--json")
        spoken = say(*[word if word != "one" else "two" for word in words])
    assert_clear(spoken, language, "datasets.no_samples")


def test_the_card_names_judge_least_score_and_counts(
    say: Any, tmp_path: Path, language: str
) -> None:
    with FaultServer() as server:
        server.verdict = lambda row: BAD if row["number"] == 1 else GOOD
        done = say(*_command(server, "--json")).json
        accepted = say("samples", "list", "one", "--judged", "1", "--json").json[0]["id"]
        say("samples", "accept", "one", accepted)
    say("samples", "export", "one", str(tmp_path / "out.jsonl"))
    card = read_json(tmp_path / "out.jsonl.card.json")
    judge = card["judge"]
    assert (judge["threshold"], judge["judged"]) == (3, done["judged"])
    assert (judge["doubted"], judge["accepted_despite"]) == (done["doubted"], 1)
    assert judge["lowest_scores"] == {"1": done["doubted"], "4": done["judged"] - done["doubted"]}
    (who,) = judge["judges"]
    assert (who["provider"], who["model"], who["requests"]) == ("openrouter", "maker/judge", 10)
    assert who["cost_usd"] == "0.001" and KEY not in str(card)
    words = (tmp_path / "out.jsonl.card.md").read_text("utf-8")
    assert {"en": "Judged by another model", "de": "Von einem anderen Modell beurteilt"}[
        language
    ] in words
    assert "maker/judge" in words and "de.judge\\_system" in words
