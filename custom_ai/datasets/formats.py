"""Samples for other programs, and samples from them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from custom_ai import files
from custom_ai.datasets import checks
from custom_ai.datasets.collection import collect
from custom_ai.datasets.derive import current_samples, write_samples
from custom_ai.datasets.journal import Record, append
from custom_ai.datasets.plan import SHARES, SPLITS
from custom_ai.datasets.sample import Sample, Split, read_samples
from custom_ai.errors import UserError
from custom_ai.projects.project import Project

Format = Literal["jsonl", "alpaca", "chatml"]
FORMATS: tuple[Format, ...] = get_args(Format)

MAX_LINE = 1_000_000


@dataclass(frozen=True)
class Imported:
    """What an import did: samples added, and samples the project had already."""

    added: int
    unchanged: int


def export_samples(
    project: Project, path: Path, format_: Format, splits: Sequence[Split] = SPLITS
) -> int:
    """Write the project's samples to a file; returns how many.

    jsonl: a line each, with everything known about it. alpaca: one JSON array of instruction,
    input and output. chatml: a line each, {"messages": [user, assistant]}.
    Raises UserError when there are no samples.
    """
    samples = [
        sample for sample in read_samples(current_samples(project)) if sample.split in splits
    ]
    if not samples:
        raise UserError("datasets.no_samples")
    files.write_text(path, _WRITERS[format_](samples))
    return len(samples)


def import_samples(project: Project, path: Path) -> Imported:
    """Add the samples of a JSONL file: {"instruction", "output"} a line, "input" and "split" if
    wanted. All of them or, with a UserError naming line and field, none.

    A sample without a split gets one by chance, always the same for the same question.
    """
    collection = collect(project)
    known = {_same(sample) for sample in collection.of("accepted")}
    new: list[Record] = []
    unchanged = 0
    for sample in _read(path):
        # One that was imported before counts as known also after it was edited or rejected.
        if _same(sample) in known or collection.find(sample.id):
            unchanged += 1
            continue
        known.add(_same(sample))
        new.append({"type": "imported", "id": sample.id, "sample": sample.as_json()})
    append(project.journal, *new)
    write_samples(project)
    return Imported(len(new), unchanged)


def _read(path: Path) -> Iterator[Sample]:
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _sample(line, path, number)


def _sample(line: bytes, path: Path, number: int) -> Sample:
    def wrong(field: str, reason: str) -> UserError:
        return UserError("datasets.bad_line", path=path, line=number, field=field, reason=reason)

    if len(line) > MAX_LINE:
        raise wrong("–", f"> {MAX_LINE} bytes")
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise wrong("–", str(error)) from error
    if not isinstance(values, dict):
        raise wrong("–", "{…}?")
    for name in ("instruction", "output"):
        if not isinstance(values.get(name), str) or not values[name].strip():
            raise wrong(name, json.dumps(values.get(name), ensure_ascii=False)[:80])
    if not isinstance(values.get("input", ""), str):
        raise wrong("input", json.dumps(values["input"], ensure_ascii=False)[:80])
    instruction = checks.clean(f"{values['instruction']}\n\n{values.get('input', '')}")
    output = checks.clean(values["output"])
    split = values.get("split") or _by_chance(instruction)
    if split not in SPLITS:
        raise wrong("split", json.dumps(split, ensure_ascii=False)[:80])
    return Sample(
        instruction=instruction,
        output=output,
        id=hashlib.sha256(f"{instruction}\n{output}".encode()).hexdigest()[:20],
        split=split,
        filename=path.name,
        provider="import",
    )


def _by_chance(instruction: str) -> Split:
    digest = hashlib.sha256(instruction.encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"


def _same(sample: Sample) -> tuple[str, str]:
    return sample.instruction, sample.output


def _jsonl(samples: Iterable[Sample]) -> str:
    return "".join(sample.line() for sample in samples)


def _alpaca(samples: Iterable[Sample]) -> str:
    rows = [{"instruction": s.instruction, "input": "", "output": s.output} for s in samples]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def _chatml(samples: Iterable[Sample]) -> str:
    def line(sample: Sample) -> dict[str, Any]:
        turns = (("user", sample.instruction), ("assistant", sample.output))
        return {"messages": [{"role": role, "content": text} for role, text in turns]}

    return "".join(json.dumps(line(sample), ensure_ascii=False) + "\n" for sample in samples)


_WRITERS: dict[Format, Callable[[Iterable[Sample]], str]] = {
    "jsonl": _jsonl,
    "alpaca": _alpaca,
    "chatml": _chatml,
}
