"""What a training would meet, found out before it starts: data, model, disk, memory, time.

Each finding says what it is about, how it stands, and what to do where something is amiss.
"""

from dataclasses import dataclass
from typing import Any, Literal

from custom_ai import hardware
from custom_ai.datasets.derive import current_samples
from custom_ai.errors import UserError
from custom_ai.export import preflight
from custom_ai.hardware import Hardware
from custom_ai.models.catalogue import named
from custom_ai.models.facts import Facts, look_up
from custom_ai.projects.project import Project
from custom_ai.texts import t
from custom_ai.training import engine, estimate, plan_b
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import load_samples, name_lines
from custom_ai.training.measure import Measured, measure

Level = Literal["ok", "warning", "bad"]

# A checkpoint holds the adapter and two moments of each weight; three are kept, and while one is
# written there is a fourth. Each epoch and the result keep the adapter alone.
_CHECKPOINT_PARTS = 3
_CHECKPOINTS = 4

# What a program may take of the memory that is there; the rest is for the system.
_FITS = 0.9


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `code` and `values` are its text."""

    level: Level
    code: str
    values: dict[str, str]

    @property
    def text(self) -> str:
        """What was found, in the user's language."""
        return t(self.code, **self.values)

    @property
    def hint(self) -> str:
        """What to do; empty where all is well."""
        return "" if self.level == "ok" else t(f"{self.code}.hint", **self.values)


@dataclass(frozen=True)
class Check:
    """findings: in the order of the work. measured: None where no step could be measured.

    offers: changes of options that need less memory, gentlest first; empty where it fits.
    """

    findings: list[Finding]
    measured: Measured | None
    offers: list[dict[str, Any]]

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against starting."""
        return not any(finding.level == "bad" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """A JSON object; the findings with their texts in the user's language."""
        return {
            "ok": self.ok,
            "findings": [
                {"level": f.level, "code": f.code, "text": f.text, "hint": f.hint}
                for f in self.findings
            ],
            "measured": self.measured.as_json() if self.measured else None,
            "offers": [{"changes": o, "command": plan_b.in_words(o)} for o in self.offers],
        }


def check(project: Project, options: TrainingOptions) -> Check:
    """Look at everything a training of the project with these options would need."""
    machine = hardware.detect(project.folder)
    facts = look_up(named(project.config.base_model))
    findings = [*_model(facts, project), *_four_bit(options), *_disk(facts, options, machine)]
    samples = current_samples(project)
    measured = None
    try:
        load_samples(samples, options)
        if facts.here and all(finding.level != "bad" for finding in findings):
            measured = measure(facts.model, samples, options, machine)
    except UserError as error:
        findings.append(Finding("bad", error.code, error.values))
    if measured:
        findings += _samples(measured, options)
    memory = _memory(facts, options, machine, measured)
    findings += memory
    tight = any(finding.level != "ok" for finding in memory)
    return Check(findings, measured, offers(options) if tight else [])


def offers(options: TrainingOptions) -> list[dict[str, Any]]:
    """Changes of options that need less memory, gentlest first, that the engine can make here."""
    return plan_b.offers(options, engine.find(options.engine).no_4bit() is None)


def _found(level: Level, code: str, **values: object) -> Finding:
    return Finding(level, code, {name: str(value) for name, value in values.items()})


def _model(facts: Facts, project: Project) -> list[Finding]:
    found = []
    if facts.here:
        found.append(_found("ok", "training.check_model", model=facts.model.name))
    else:
        size = _gigabytes(facts.size) if facts.size else "?"
        found.append(
            _found("warning", "training.check_download", model=facts.model.name, size=size)
        )
    target = project.config.output_format
    if problem := preflight.obstacle(facts, target):
        found.append(Finding("bad", problem.code, problem.values))
    elif preflight.is_checked(facts):
        found.append(_found("ok", "training.check_export", format=target))
    if facts.licence:
        found.append(_found("ok", "training.check_licence", licence=facts.licence))
    elif facts.model.kind != "starter":
        found.append(_found("warning", "training.check_no_licence"))
    return found


def _four_bit(options: TrainingOptions) -> list[Finding]:
    reason = engine.find(options.engine).no_4bit() if options.load_in_4bit else None
    return [_found("bad", "training.no_4bit", reason=reason)] if reason else []


def _disk(facts: Facts, options: TrainingOptions, machine: Hardware) -> list[Finding]:
    if not facts.shape:
        return []
    adapter = 4 * facts.shape.adapter_parameters(options.lora_rank)
    copies = _CHECKPOINT_PARTS * _CHECKPOINTS + options.epochs + 2
    needed = adapter * copies + (0 if facts.here else facts.size or 0)
    values = {"needed": _gigabytes(needed), "free": _gigabytes(machine.disk_free)}
    level: Level = "ok" if needed <= machine.disk_free else "bad"
    return [_found(level, "training.check_disk", **values)]


def _samples(measured: Measured, options: TrainingOptions) -> list[Finding]:
    found = [
        _found(
            "ok",
            "training.check_samples",
            samples=measured.samples,
            validation=measured.validation,
            longest=measured.longest,
        )
    ]
    for name, lines in (("cut", measured.cut), ("dropped", measured.dropped)):
        if lines:
            values = {"count": len(lines), "max_length": options.max_length}
            code = f"training.check_{name}"
            found.append(_found("warning", code, lines=name_lines(lines), **values))
    if measured.few:
        values = {"count": len(measured.few)}
        found.append(
            _found("warning", "training.check_few", lines=name_lines(measured.few), **values)
        )
    return found


def _memory(
    facts: Facts, options: TrainingOptions, machine: Hardware, measured: Measured | None
) -> list[Finding]:
    there = machine.most_memory
    if measured and measured.memory is None:
        return [_found("bad", "training.check_no_memory", there=_gigabytes(there))]
    if measured and measured.memory is not None:
        values = {"needed": _gigabytes(measured.memory), "there": _gigabytes(there)}
        if measured.plan_b:
            changes = plan_b.in_words(measured.plan_b)
            return [_found("warning", "training.check_plan_b", changes=changes, **values)]
        level: Level = "ok" if measured.memory <= _FITS * there else "warning"
        return [_found(level, "training.check_memory", **values)]
    if not facts.shape:
        return []
    outlook = estimate.look_ahead(facts.shape, options, machine)
    values = {"needed": _gigabytes(outlook.needed), "there": _gigabytes(outlook.there)}
    levels: dict[str, Level] = {"fits": "ok", "tight": "warning", "too_big": "bad"}
    return [_found(levels[outlook.verdict], "training.check_estimated", **values)]


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f}"
