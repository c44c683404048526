"""`train --check` before the start, and `runs compare` after it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai import cli
from custom_ai.files import LineLog
from custom_ai.hardware import Device, Hardware
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import comparison, training_check
from custom_ai.runs import run as runs
from custom_ai.training.config import TrainingOptions
from custom_ai.training.measure import Measured


@pytest.fixture
def project(home: Path) -> Project:
    project = projects.create("p")
    rows = [
        {"instruction": f"Wo steht Lampe {n}?", "output": f"Die Lampe {n} steht im Turm Nord."}
        for n in range(12)
    ]
    rows.append({"instruction": "Wo?", "output": "Da"})
    rows.append({"instruction": "Wie lang?", "output": "sehr lang und noch länger " * 30})
    rows.append({"instruction": "eine endlose Frage " * 60, "output": "Ja, so ist es immer."})
    project.samples.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return project


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUSTOM_AI_HOME", str(tmp_path))
    monkeypatch.setenv("CUSTOM_AI_LANGUAGE", "en")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_check_measures_a_step_names_what_is_amiss_and_trains_nothing(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", "p", "--check", "--max-length", "96", "--validation-share", "0"]
    assert cli.main([*command, "--json"]) == 0
    found = said(capsys)
    measured = found["measured"]
    assert measured["cut"] == [14] and measured["dropped"] == [15] and measured["few"] == [13]
    assert measured["samples"] == 14 and measured["longest"] == 96
    assert measured["memory"] > 300_000_000
    assert 0 < measured["step_seconds"] < measured["seconds"]
    (prompt, learnt), (answer, trained) = measured["preview"]
    assert "Wo steht Lampe 0?" in prompt and not learnt
    assert "Die Lampe 0 steht im Turm Nord." in answer and trained
    codes = [finding["code"] for finding in found["findings"]]
    for code in ("check_model", "check_export", "check_disk", "check_memory", "check_few"):
        assert f"training.{code}" in codes
    assert runs.all_runs(project) == []

    # The second time nothing is measured: no process is started for it.
    monkeypatch.setattr("custom_ai.child.start", None)
    assert cli.main(command) == 0
    text = capsys.readouterr().out
    assert "[[Die Lampe 0 steht im Turm Nord." in text
    assert "Lines: 14." in text


def check(project: Project, **options: Any) -> training_check.Check:
    return training_check.check(project, TrainingOptions.parse(options))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Decides what measuring gives, on a machine with 8 GB of memory."""

    def set_to(**values: Any) -> None:
        usual: dict[str, Any] = {
            "samples": 12,
            "validation": 0,
            "longest": 40,
            "cut": [],
            "dropped": [],
            "few": [],
            "preview": [("Wo?", False), ("Da.", True)],
            "steps": 3,
            "memory": 10**9,
            "step_seconds": 1.0,
            "seconds": 3.0,
        }
        result = Measured(**{**usual, **values})
        monkeypatch.setattr(training_check, "measure", lambda *_: result)
        machine = Hardware(
            "Linux", Device("cpu", "c", None, ""), 2, 8 * 10**9, 8 * 10**9, 10**11, None, ()
        )
        monkeypatch.setattr("custom_ai.hardware.detect", lambda folder: machine)

    return set_to


def test_what_does_not_fit_is_said_with_what_needs_less(
    project: Project, measured: Callable[..., None]
) -> None:
    measured(memory=None, step_seconds=None, seconds=None)
    found = check(project, batch_size=4)
    assert not found.ok
    assert found.findings[-1].code == "training.check_no_memory" and found.findings[-1].hint
    assert found.offers[0] == {"batch_size": 2, "gradient_accumulation": 2}
    assert {"gradient_checkpointing": True} in found.offers
    assert found.as_json()["offers"][0]["command"] == "--batch-size 2 --gradient-accumulation 2"


def test_a_plan_b_that_was_needed_to_measure_is_a_warning(
    project: Project, measured: Callable[..., None]
) -> None:
    measured(plan_b={"batch_size": 1, "gradient_accumulation": 4})
    found = check(project, batch_size=4)
    assert found.ok
    assert "--batch-size 1" in found.findings[-1].text


def test_what_fits_needs_no_offers(project: Project, measured: Callable[..., None]) -> None:
    measured()
    found = check(project)
    assert found.ok and found.offers == []


def test_bad_samples_and_missing_4_bit_stop_before_anything_is_measured(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_check, "measure", None)
    monkeypatch.setattr("custom_ai.training.engines.trl.find_spec", lambda name: None)
    found = check(project, load_in_4bit=True)
    assert not found.ok
    assert "training.no_4bit" in [finding.code for finding in found.findings]


def trained(project: Project, losses: list[float], **options: Any) -> runs.Run:
    chosen = TrainingOptions.parse(options).model_dump()
    inputs = {"samples": "abc", "base_model": "starter"}
    run = runs.create(project, "train", chosen, inputs)
    with LineLog(run.events, durable=False) as log:
        for step, loss in enumerate(losses, start=1):
            metric = {"kind": "metric", "step": step, "steps": len(losses), "loss": loss}
            # Once more after a kill: only the last one counts.
            log.append({**metric, "loss": 9.0, "tokens_per_second": 1.0})
            log.append({**metric, "tokens_per_second": 100.0 * loss})
        log.append({"kind": "metric", "step": len(losses), "eval_loss": losses[-1] + 1})
    run.set_state("finished")
    return run


def test_trainings_are_compared_by_what_differs_and_what_was_best(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(project, [3.0, 2.0], learning_rate=1e-4)
    trained(project, [3.0, 1.0], learning_rate=5e-4, threads=2)
    assert cli.main(["runs", "compare", "p", "--json"]) == 0
    found = said(capsys)
    assert [one["settings"] for one in found["trainings"]] == [
        {"learning_rate": 1e-4},
        {"learning_rate": 5e-4},
    ], "threads change nothing of the result"
    assert found["trainings"][0]["curves"]["loss"] == [[1, 3.0], [2, 2.0]]
    assert found["best"] == {"eval_loss": 2, "loss": 2, "tokens_per_second": 1}
    assert cli.main(["runs", "compare", "p"]) == 0
    text = capsys.readouterr().out
    assert "--learning-rate" in text and "1 *" in text
    assert cli.main(["runs", "compare", "p", "7"]) == 1
    assert "1, 2" in capsys.readouterr().err


def test_curves_go_on_from_where_they_were_read(project: Project) -> None:
    run = trained(project, [3.0, 2.0])
    whole, end = comparison.read_curves(run)
    assert whole["loss"] == [(1, 3.0), (2, 2.0)]
    with LineLog(run.events, durable=False) as log:
        log.append({"kind": "metric", "step": 3, "loss": 1.5})
    more, later = comparison.read_curves(run, end)
    assert more["loss"] == [(3, 1.5)] and more["eval_loss"] == []
    assert comparison.read_curves(run, later)[0]["loss"] == []


def test_a_run_of_an_older_version_is_continued_by_the_same_command(project: Project) -> None:
    """What it was asked for lacks the options that came later."""
    from custom_ai.runs import runner, tasks

    options = TrainingOptions().model_dump()
    old = {n: v for n, v in options.items() if n not in ("packing", "plan_b", "early_stopping")}
    run = runs.create(project, "train", old, tasks.task_named("train").inputs(project, options))
    run.set_state("finished")
    found = runner.finished(project, "train", options)
    assert found is not None and found.number == run.number
    assert runner.finished(project, "train", {**options, "packing": True}) is None
