"""A project that was trained, of tiny real models: one never stops, one knows facts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_ai import files
from custom_ai.export.gguf.writer import write
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.runs.run import Run
from custom_ai.step import Step
from tests.tiny_models import facts, make_model, teach

HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=2</script>"
FACTS = [*facts(3), {"instruction": "Who is there?", "output": HOSTILE}]
# Long enough to be stopped in the middle.
LONG = " ".join(f"{number}. größer" for number in range(1, 90))


@dataclass(frozen=True)
class Models:
    """base: answers everything with LONG; adapter: changes it; taught: knows FACTS; gguf: of it."""

    base: Path
    adapter: Path
    taught: Path
    gguf: Path


def make_models(folder: Path) -> Models:
    """Write them into a folder."""
    rows = [{"instruction": text, "output": LONG} for text in ("Wo?", "Wer?")]
    base = teach(make_model(folder / "base"), rows, 60)
    taught = teach(make_model(folder / "taught"), FACTS, 300)
    gguf = folder / "taught.gguf"
    write(taught, gguf, "f16", "taught", "tiny", Step(folder, lambda event: None, lambda: None))
    return Models(base, _adapter(base, folder / "adapter"), taught, gguf)


def make_project(models: Models, name: str = "Lighthouse") -> Project:
    """A project with samples, a finished training of `base`, and `taught` as its exported GGUF."""
    project = projects.create(name)
    project.change(base_model=str(models.base))
    splits = ("train", "train", "exam", "exam")
    rows = [
        {**fact, "id": str(number), "split": split}
        for number, (fact, split) in enumerate(zip(FACTS, splits, strict=True))
    ]
    files.write_text(project.samples, "".join(json.dumps(row) + "\n" for row in rows))
    trained = finished(project, "train", {}, {"base_model": str(models.base)})
    (trained.folder / "adapter").symlink_to(models.adapter, target_is_directory=True)
    gguf = project.models / "taught" / "taught.gguf"
    gguf.parent.mkdir()
    gguf.write_bytes(models.gguf.read_bytes())
    options = {"format": "gguf", "name": "taught", "train_run": trained.number}
    finished(project, "export", options, {"path": str(gguf)})
    return project


def finished(project: Project, task: str, options: dict[str, Any], result: Any) -> Run:
    """A run that is done."""
    run = runs.create(project, task, options, {})
    files.write_json(run.folder / "result.json", result)
    run.set_state("finished")
    return run


def _adapter(base: Path, folder: Path) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    tuned.save_pretrained(folder)
    return folder
