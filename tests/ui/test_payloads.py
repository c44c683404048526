"""Forty scripts in every place that comes from outside: shown as text, and none of them runs."""

import json
from pathlib import Path

import pytest

from custom_ai import files
from custom_ai.datasets.imports import import_samples
from custom_ai.documents import library
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.step import Step
from custom_ai.ui.journey import STEPS
from tests.ui.conftest import OpenPage

RUN = "window.hacked=(window.hacked||0)+1"
PAYLOADS = [
    f"<script>{RUN}</script>",
    f"<SCRIPT SRC=data:text/javascript,{RUN}></SCRIPT>",
    f"</script><script>{RUN}</script>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"<img src=x onerror={RUN}>",
    f"<img src=x onerror='{RUN}'//",
    f'"><img src=x onerror="{RUN}">',
    f'\'><img src=x onerror="{RUN}">',
    f"<svg onload={RUN}>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<svg><script>{RUN}</script></svg>",
    f"<math><mtext></form><form><mglyph><style></math><img src onerror={RUN}>",
    f"<body onload={RUN}>",
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f'<iframe src="javascript:parent.{RUN}"></iframe>',
    f'<object data="javascript:{RUN}"></object>',
    f'<embed src="javascript:{RUN}">',
    f'<a href="javascript:{RUN}">click</a>',
    f'<a href="jav&#x09;ascript:{RUN}">click</a>',
    f"[click](javascript:{RUN})",
    f'![x](x" onerror="{RUN})',
    f"<details open ontoggle={RUN}>x</details>",
    f"<input autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}>",
    f"<textarea autofocus onfocus={RUN}></textarea>",
    f"</textarea><img src=x onerror={RUN}>",
    f"</title><img src=x onerror={RUN}>",
    f"</template><img src=x onerror={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}></audio>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<style>@import 'x'</style><img src=x onerror={RUN}>",
    f"<link rel=stylesheet href=x onerror={RUN}>",
    f'<meta http-equiv=refresh content="0;url=javascript:{RUN}">',
    f'<form action="javascript:{RUN}"><button>x</button></form>',
    "{{ 7*7 }}{% for x in ().__class__.__mro__ %}{{ x }}{% endfor %}",
    "${" + RUN + "}{{" + RUN + "}}",
    f'<div hx-get=/api/pulse hx-trigger=load hx-on::load="{RUN}">x</div>',
    f'<div hx-on:click="{RUN}" hx-trigger="load[{RUN}]" hx-get=/api/top></div>',
    f"&lt;img src=x onerror={RUN}&gt;\u202e<img src=x onerror={RUN}>",
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that holds them as names, text, samples, models, answers and messages."""
    project = projects.create("Payloads")
    folder = tmp_path / "documents"
    folder.mkdir()
    for number, payload in enumerate(PAYLOADS):
        name = payload.replace("/", "∕").replace("\0", "")[:80]
        text = f"# {payload}\n\n{payload}\n\nThe code of door {number} is {payload}.\n"
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    step = Step(tmp_path, lambda event: None, lambda: None)
    assert library.add(project, [folder], step).added == len(PAYLOADS)
    rows = tmp_path / "rows.jsonl"
    lines = [{"instruction": f"{p}?", "output": p, "split": "train"} for p in PAYLOADS]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_samples(project, rows)
    for payload in PAYLOADS[:8]:
        (project.models / payload.replace("/", "∕")).mkdir()
    _runs(project)
    return project


def _runs(project: Project) -> None:
    """A finished training and exam, and a failed export, whose every word is a script."""
    every = " ".join(PAYLOADS)
    trained = runs.create(project, "train", {"engine": every}, {"samples": "", "base_model": every})
    files.write_json(trained.folder / "result.json", {"base_model": every, "steps": 0})
    trained.set_state("finished")
    exam = runs.create(project, "evaluate", {"train_run": trained.number}, {})
    questions = [
        {
            "id": str(number), "part": "trained", "text": p, "expected": p,
            "answers": {"base": p, "tuned": p}, "right": {"base": False, "tuned": True},
        }
        for number, p in enumerate(PAYLOADS)
    ]  # fmt: skip
    score = {"n": 40, "exact": 0.5, "f1": 0.5, "low": 0.4, "high": 0.6}
    report = {"scores": {}, "trained": {"base": score, "tuned": score}, "questions": questions}
    files.write_json(exam.folder / "report.json", report)
    result = {"report": every, "scores": {}, "trained": report["trained"]}
    files.write_json(exam.folder / "result.json", result)
    exam.set_state("finished")
    failed = runs.create(project, "export", {"name": every, "format": "gguf"}, {})
    values = {"path": every}
    failed.set_state("failed", {"code": "errors.disk_full", "values": values, "message": every})


def test_no_script_from_outside_runs_on_any_screen(open_page: OpenPage, project: Project) -> None:
    assert len(set(PAYLOADS)) == 40
    page = open_page("en", project.slug)
    shown = ""
    for step in STEPS:
        page.locator(f"#step-{step}-button").click()
        page.wait_for_timeout(1500)
        shown += page.locator(f"#step-{step}").inner_text()
        for row in page.locator(f"#step-{step} .rv-row").all()[:3]:
            row.click()
            page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    assert page.locator("iframe, object, embed, marquee").count() == 0
    # They were really there to be seen.
    assert shown.count("onerror=") > 40
    assert "7*7" in shown and "mro" in shown
