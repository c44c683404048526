"""Samples as files for other programs: each format writes into a stream, or fills a folder."""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from custom_ai import files
from custom_ai.datasets import arrow, card
from custom_ai.datasets.collection import collect
from custom_ai.datasets.derive import current_samples
from custom_ai.datasets.plan import SPLITS
from custom_ai.datasets.sample import Sample, Split, read_samples
from custom_ai.errors import UserError
from custom_ai.projects.project import Project

Format = Literal["jsonl", "csv", "alpaca", "sharegpt", "chatml", "huggingface"]
FORMATS: tuple[Format, ...] = get_args(Format)

# "" is a folder.
SUFFIXES: dict[Format, str] = {
    "jsonl": ".jsonl", "csv": ".csv", "alpaca": ".json", "sharegpt": ".json", "chatml": ".jsonl",
    "huggingface": "",
}  # fmt: skip

_COLUMNS = (
    "instruction", "output", "split", "kind", "filename", "page", "quote", "language", "provider",
    "model", "prompt_version", "id",
)  # fmt: skip
# So that the same samples give the same archive.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def export_samples(
    project: Project,
    path: Path,
    format_: Format,
    splits: Sequence[Split] = SPLITS,
    dataset: str = "",
) -> int:
    """Write the project's accepted samples to `path`, and their card beside it; returns how many.

    jsonl: a line each, with everything known about it. csv: UTF-8 with a mark, as spreadsheets want
    it. alpaca: a JSON array of instruction, input and output. sharegpt: a JSON array of
    conversations. chatml: a line each, {"messages": [user, assistant]}. huggingface: a folder for
    `datasets.load_from_disk`, a dataset for each split.
    dataset: only the samples that came with this one (`Sample.dataset`).
    Raises UserError when there are no samples.
    """
    samples = [
        sample
        for sample in read_samples(current_samples(project))
        if sample.split in splits and dataset in ("", sample.dataset)
    ]
    if not samples:
        raise UserError("datasets.no_samples")
    if format_ == "huggingface":
        if path.is_file() or (path.is_dir() and not _may_replace(path)):
            raise UserError("datasets.folder_taken", path=path)
        with files.complete_folder(path) as folder:
            arrow.write_folder(samples, folder)
    else:
        with files.complete_file(path) as stream:
            for piece in _WRITERS[format_](samples):
                stream.write(piece.encode("utf-8"))
    about = card.make(project, collect(project), samples, path, format_)
    card.write(about, path)
    return len(samples)


def export_archive(project: Project, path: Path, format_: Format, name: str) -> int:
    """As export_samples, as one zip file that holds the samples, under `name`, and their card."""
    folder = path.with_name(f"{path.name}.parts")
    folder.mkdir()
    try:
        count = export_samples(project, folder / f"{name}{SUFFIXES[format_]}", format_)
        with files.complete_file(path) as stream:
            _pack(folder, stream)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return count


def _pack(folder: Path, stream: BinaryIO) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _NO_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with open(file, "rb") as source, archive.open(entry, "w") as sink:
                while piece := source.read(1 << 20):
                    sink.write(piece)


def _may_replace(folder: Path) -> bool:
    """Only an earlier export, or nothing, gives way: a folder may hold years of work."""
    return arrow.is_folder_of_datasets(folder) or not any(folder.iterdir())


def _jsonl(samples: Iterable[Sample]) -> Iterator[str]:
    return (sample.line() for sample in samples)


def _csv(samples: Iterable[Sample]) -> Iterator[str]:
    yield "\ufeff"
    line = io.StringIO(newline="")
    writer = csv.writer(line)
    writer.writerow(_COLUMNS)
    for sample in samples:
        writer.writerow(["" if v is None else v for v in _values(sample, _COLUMNS)])
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def _values(sample: Sample, names: Iterable[str]) -> list[Any]:
    return [getattr(sample, name) for name in names]


def _alpaca(samples: Iterable[Sample]) -> Iterator[str]:
    return _array({"instruction": s.instruction, "input": "", "output": s.output} for s in samples)


def _sharegpt(samples: Iterable[Sample]) -> Iterator[str]:
    return _array(
        {
            "id": s.id,
            "conversations": [
                {"from": "human", "value": s.instruction},
                {"from": "gpt", "value": s.output},
            ],
        }
        for s in samples
    )


def _chatml(samples: Iterable[Sample]) -> Iterator[str]:
    for sample in samples:
        turns = (("user", sample.instruction), ("assistant", sample.output))
        row = {"messages": [{"role": role, "content": text} for role, text in turns]}
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _array(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A JSON array with an element on each line."""
    before = "[\n"
    for row in rows:
        yield before + json.dumps(row, ensure_ascii=False)
        before = ",\n"
    yield "\n]\n"


_WRITERS: dict[Format, Callable[[Iterable[Sample]], Iterator[str]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "chatml": _chatml,
}
