"""What to ask of each task: the options a run is started with, checked before it starts."""

from pathlib import Path
from typing import Any

from custom_ai import hardware
from custom_ai.datasets.derive import current_samples
from custom_ai.datasets.generate import GenerateOptions
from custom_ai.datasets.judge import judging_provider
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.documents.originals import portable
from custom_ai.errors import UserError
from custom_ai.evaluation.exam import ExamOptions
from custom_ai.export import exporter as exporters
from custom_ai.files import read_lines
from custom_ai.models.catalogue import resolve
from custom_ai.models.from_gguf import target_of
from custom_ai.projects.project import Project, slug_of
from custom_ai.providers import provider as providers
from custom_ai.runs.tasks import trained_run
from custom_ai.training import engine as engines
from custom_ai.training.presets import suited

Json = dict[str, Any]


def documents(paths: list[Path], project: Project | None = None) -> Json:
    """Read these files and folders; those in the project itself also after it was moved."""
    full = [path.expanduser().absolute() for path in paths]
    return {"paths": [portable(project, path) if project else str(path) for path in full]}


def embedding(project: Project, model: str = "") -> Json:
    """Give every chunk a vector of this model, or of the project's; UserError when it has none."""
    chosen = model.strip() or project.config.embedding_model
    if not chosen:
        raise UserError("documents.no_embedding_model")
    return {"model": chosen}


def samples(provider: str, wished: Json) -> Json:
    """Write samples with this provider; raises UserError when it can't work here."""
    if reason := providers.find(provider).unavailable():
        raise UserError("datasets.provider_unavailable", name=provider, reason=reason)
    return {"provider": provider, **GenerateOptions.parse(wished).model_dump()}


def judging(provider: str, wished: Json) -> Json:
    """Have this provider's model score the samples; raises UserError when it can't."""
    judging_provider(provider)
    return {"provider": provider, **JudgeOptions.parse(wished).model_dump()}


def conversion(source: str, name: str = "") -> Json:
    """Make a GGUF file, or a model of Ollama, trainable; UserError when its name is taken."""
    return {"source": source.strip(), "target": str(target_of(source.strip(), name.strip()))}


def training(project: Project, wished: Json, preset: str = "balanced") -> Json:
    """What is wished, and for the rest what suits the model, the samples and the machine.

    preset: see `presets.suited`.

    Raises UserError when there is nothing to train with.
    """
    model = resolve(project.config.base_model)
    count = len(read_lines(current_samples(project))[0])
    if not count:
        raise UserError("training.no_samples", path=project.samples)
    options = suited(model, count, hardware.detect(project.folder), wished, preset)
    engine = engines.find(options.engine)
    if reason := engine.unavailable():
        raise UserError("training.engine_unavailable", name=options.engine, reason=reason)
    if options.load_in_4bit and (reason := engine.no_4bit()):
        raise UserError("training.no_4bit", reason=reason)
    return options.model_dump()


def export(
    project: Project,
    format_name: str,
    wished: Json,
    name: str | None = None,
    run: int | None = None,
) -> Json:
    """Export the adapter of a training run (the newest finished one) under a name."""
    exporter = exporters.find(format_name)
    if reason := exporter.unavailable():
        raise UserError("export.unavailable", format=format_name, reason=reason)
    suffix = "" if format_name == "gguf" else f"-{format_name}"
    return {
        "format": format_name,
        "name": slug_of(name or f"{project.slug}{suffix}"),
        "train_run": trained_run(project, run).number,
        **exporter.options.parse(wished).model_dump(),
    }


def evaluation(project: Project, wished: Json, run: int | None = None) -> Json:
    """Hold the exam of base and tuned model."""
    return {
        "train_run": trained_run(project, run).number,
        **ExamOptions.parse(wished).model_dump(),
    }
