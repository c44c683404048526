"""What a run can do: the name of each task, the step behind it, and what its result depends on."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from custom_ai.datasets import privacy
from custom_ai.datasets.derive import current_samples
from custom_ai.datasets.generate import GenerateOptions, generate
from custom_ai.datasets.judge import judge
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.datasets.sample import read_samples
from custom_ai.documents import library, originals
from custom_ai.documents.embed import embed
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.evaluation import exam
from custom_ai.export import exporter as exporters
from custom_ai.export.exporter import Source
from custom_ai.files import read_json
from custom_ai.models.catalogue import TrainableModel, resolve
from custom_ai.models.facts import look_up
from custom_ai.models.from_gguf import make_trainable
from custom_ai.projects.project import Project
from custom_ai.providers.ollama_unload import unload
from custom_ai.runs.run import Run, all_runs
from custom_ai.step import Step
from custom_ai.training import engine as engines
from custom_ai.training import engine_install
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import load_samples
from custom_ai.training.engine import Job

Json = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One kind of run.

    do: the work; takes project, options and step, returns what `--json` shows.
    inputs: what in the project the result depends on; an unfinished run is continued only while
        it is the same.
    device: whether it must wait for the training device.
    defaults: what an option has in a run that was started before the option existed.
    """

    name: str
    do: Callable[[Project, Json, Step], Json]
    inputs: Callable[[Project, Json], Json]
    device: bool = False
    defaults: Callable[[], Json] = dict


def task_named(name: str) -> Task:
    """The task of this name; raises UserError for an unknown one (a folder made by hand)."""
    for task in TASKS:
        if task.name == name:
            return task
    raise UserError("runs.unknown_task", task=name)


def add_documents(project: Project, options: Json, step: Step) -> Json:
    """options: {"paths": files and folders, by full path or by their place in the project}.

    Where the project has an embedding model, what was read gets its vectors, too.
    """
    paths = [originals.located(project, path) for path in options["paths"]]
    model = resolve(project.config.base_model)
    tokenizer_file = model.tokenizer_file()
    if tokenizer_file is None:
        # A model of the hub that was not downloaded yet: the starter's count is near enough.
        step.warn("runs.tokens_estimated", model=model.name)
        added = library.add(project, paths, step)
    else:
        added = library.add(project, paths, step, tokenizer_file, model.name)
    return {**added.as_json(), **_embed_new(project, step)}


def _embed_new(project: Project, step: Step) -> Json:
    """What was read is read, whether Ollama is there or not."""
    chosen = project.config.embedding_model
    if not chosen:
        return {}
    try:
        return {"embedded": embed(project, chosen, step).embedded}
    except UserError as error:
        step.warn("documents.log.not_embedded", reason=error.message)
        return {"embedded": 0}


def embed_documents(project: Project, options: Json, step: Step) -> Json:
    """options: {"model": an embedding model of Ollama's}."""
    return embed(project, options["model"], step).as_json()


def generate_samples(project: Project, options: Json, step: Step) -> Json:
    """options: {"provider": name, …GenerateOptions}."""
    # However it was started: without their word nobody's documents are sent anywhere.
    privacy.require(project, options)
    provider = options["provider"]
    rest = {name: value for name, value in options.items() if name != "provider"}
    return asdict(generate(project, provider, GenerateOptions.parse(rest), step))


def judge_samples(project: Project, options: Json, step: Step) -> Json:
    """options: {"provider": name, …JudgeOptions}."""
    privacy.require(project, options)
    rest = {name: value for name, value in options.items() if name != "provider"}
    return asdict(judge(project, options["provider"], JudgeOptions.parse(rest), step))


def train(project: Project, options: Json, step: Step) -> Json:
    """options: TrainingOptions. The adapter lies in the run's folder."""
    chosen = TrainingOptions.parse(options)
    model = resolve(project.config.base_model)
    samples, validation = load_samples(current_samples(project), chosen)
    _make_room(project, step)
    job = Job(model, samples, validation, chosen, step.folder)
    return {**engines.train(job, step).as_json(), "base_model": model.name}


def _make_room(project: Project, step: Step) -> None:
    """The models of Ollama's that wrote the samples, or judged them, or made the vectors, still
    lie in the memory that the training wants."""
    samples = read_samples(current_samples(project))
    models = {sample.model for sample in samples if sample.provider == "ollama"}
    asked = [run.request()["options"] for run in all_runs(project) if run.task == "judge"]
    models |= {options["model"] for options in asked if options["provider"] == "ollama"}
    models |= {project.config.embedding_model} - {""}
    if not models or privacy.destination("ollama"):
        return
    if unloaded := asyncio.run(unload(privacy.address("ollama"), models)):
        step.log("runs.unloaded", models=", ".join(unloaded))


def install_engine(project: Project, options: Json, step: Step) -> Json:
    """options: {"name": an engine, "agreed": whether somebody agreed to the notice}.

    The engine serves every project; this one only keeps the record.
    """
    return engine_install.install(options["name"], options["agreed"], step)


def convert_model(project: Project, options: Json, step: Step) -> Json:
    """options: {"source": a GGUF file or a model of Ollama, "target": the folder that is made}.

    The model serves every project, as those that are downloaded do.
    """
    return make_trainable(options["source"], Path(options["target"]), step)


def export(project: Project, options: Json, step: Step) -> Json:
    """options: {"format", "name", "train_run": number, …options of the exporter}."""
    exporter = exporters.find(options["format"])
    special = {k: v for k, v in options.items() if k not in ("format", "name", "train_run")}
    trained = trained_run(project, options["train_run"])
    base = base_of(trained)
    source = Source(
        base_path=base.path,
        adapter=adapter_of(trained),
        name=options["name"],
        base_name=base.name,
        questions=_questions(project, "trained"),
        validation=_questions(project, "exam"),
        licence=look_up(base).licence or "",
    )
    target = project.models / options["name"]
    path = exporter.export(source, target, exporter.options.parse(special), step)
    return {"path": str(path), "acceptance": read_json(target / "acceptance.json")}


def evaluate(project: Project, options: Json, step: Step) -> Json:
    """options: {"train_run": number, …ExamOptions}."""
    trained = trained_run(project, options["train_run"])
    chosen = exam.ExamOptions.parse({k: v for k, v in options.items() if k != "train_run"})
    base = base_of(trained)
    candidates = [
        exam.Candidate("base", base.path, None),
        exam.Candidate("tuned", base.path, adapter_of(trained)),
    ]
    asked = exam.questions(current_samples(project), chosen.limit)
    report = exam.hold(candidates, asked, chosen, step)
    return {
        "report": str(step.folder / "report.md"),
        "scores": report["scores"],
        "trained": report["trained"],
    }


def trained_run(project: Project, number: int | None = None) -> Run:
    """The training run with this number, or the newest finished one; UserError when none is."""
    for run in reversed(all_runs(project)):
        if run.task == "train" and number in (None, run.number) and run.state == "finished":
            return run
    raise UserError("runs.not_trained", project=project.slug)


def adapter_of(run: Run) -> Path:
    """The adapter a training run made; looked up by place, so that a moved project still works."""
    return run.folder / "adapter"


def base_of(run: Run) -> TrainableModel:
    """The base model a training run started from."""
    return resolve((run.result() or {})["base_model"])


def _questions(project: Project, part: str, count: int = 8) -> tuple[tuple[str, str], ...]:
    asked = exam.questions(current_samples(project), count)
    return tuple((q.text, q.expected) for q in asked if q.part == part)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _nothing(project: Project, options: Json) -> Json:
    return {}


def _chunks(project: Project, options: Json) -> Json:
    with open_store(project) as store:
        rows = sorted((source.sha256, source.chunking) for source in store.sources())
    return {"chunks": hashlib.sha256(repr(rows).encode()).hexdigest()}


def _samples(project: Project, options: Json) -> Json:
    return {"samples": _sha256(current_samples(project)), "base_model": project.config.base_model}


def _adapter(project: Project, options: Json) -> Json:
    adapter = adapter_of(trained_run(project, options["train_run"]))
    return {"adapter": _sha256(adapter / "adapter_model.safetensors")}


def _exam(project: Project, options: Json) -> Json:
    return {**_samples(project, options), **_adapter(project, options)}


TASKS = (
    Task("documents", add_documents, _nothing),
    Task("embed", embed_documents, _nothing),
    Task("samples", generate_samples, _chunks),
    Task("judge", judge_samples, _nothing),
    Task("train", train, _samples, device=True, defaults=lambda: TrainingOptions().model_dump()),
    Task("engine", install_engine, _nothing),
    Task("convert", convert_model, _nothing),
    Task("export", export, _adapter),
    Task("evaluate", evaluate, _exam),
)
