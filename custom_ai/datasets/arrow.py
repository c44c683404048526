"""Samples as a folder of Hugging Face datasets (`save_to_disk`), and samples from one.

Written with Arrow itself: the library would bring its cache and, to the app, a second of start.
`datasets.load_from_disk` reads what is written here, and this reads what it writes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_ai import files
from custom_ai.datasets import columns
from custom_ai.datasets.rows import Row
from custom_ai.datasets.sample import Sample, Split
from custom_ai.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS = (
    "instruction", "output", "id", "kind", "quote", "filename", "language", "provider", "model",
    "prompt_version",
)  # fmt: skip
_NUMBERS = ("page",)
# What the library calls a split.
_FOLDERS: dict[Split, str] = {"train": "train", "validation": "validation", "exam": "test"}
_BATCH = 1000


def write_folder(samples: Sequence[Sample], folder: Path) -> None:
    """Fill a folder as `DatasetDict.save_to_disk` does: a dataset for each split that has samples.

    The same samples give the same bytes.
    """
    names = []
    for split, name in _FOLDERS.items():
        if some := [sample for sample in samples if sample.split == split]:
            _write_split(some, folder / name, name)
            names.append(name)
    files.write_json(folder / "dataset_dict.json", {"splits": names})


def is_folder_of_datasets(folder: Path) -> bool:
    """Whether `save_to_disk` wrote it."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def read_folder(folder: Path) -> Iterator[Row]:
    """The rows of a folder that `save_to_disk` wrote; a split's name is the value "split".

    The line of a row is its number within its split. Raises UserError for a damaged folder.
    """
    for part, split in _parts(folder):
        state = files.read_json(part / "state.json")
        try:
            names = [str(entry["filename"]) for entry in state["_data_files"]]
        except (KeyError, TypeError) as error:
            raise UserError(
                "errors.damaged_file", path=part / "state.json", reason=error
            ) from error
        number = 0
        for name in names:
            # Only files of this very folder, whatever is written there.
            file = part / Path(name).name
            if not file.is_file():
                raise UserError("errors.damaged_file", path=file, reason="–")
            for values in _stream(file):
                number += 1
                yield Row(number, {"split": split, **values} if split else values)


def read_file(path: Path) -> Iterator[Row]:
    """The rows of one Parquet or Arrow file."""
    rows = _parquet(path) if path.suffix.lower() == ".parquet" else _stream(path)
    for number, values in enumerate(rows, start=1):
        yield Row(number, values)


def _write_split(samples: Sequence[Sample], folder: Path, name: str) -> None:
    import pyarrow as pa

    folder.mkdir()
    schema = pa.schema(
        [(text, pa.string()) for text in _TEXTS] + [(number, pa.int64()) for number in _NUMBERS]
    )
    data = folder / "data-00000-of-00001.arrow"
    rest = iter(samples)
    with pa.OSFile(str(data), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        while some := list(islice(rest, _BATCH)):
            values = {field: [getattr(sample, field) for sample in some] for field in schema.names}
            writer.write_table(pa.table(values, schema=schema))
    features = {text: {"dtype": "string", "_type": "Value"} for text in _TEXTS}
    features |= {number: {"dtype": "int64", "_type": "Value"} for number in _NUMBERS}
    about = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    with open(data, "rb") as stream:
        fingerprint = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    state: dict[str, Any] = {
        "_data_files": [{"filename": data.name}],
        "_fingerprint": fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": name,
    }
    files.write_json(folder / "dataset_info.json", about)
    files.write_json(folder / "state.json", state)


def _parts(folder: Path) -> Iterator[tuple[Path, str]]:
    """The datasets of a folder, each with the name of its split ("" where it has none)."""
    if (folder / "state.json").is_file():
        yield folder, ""
        return
    listed = files.read_json(folder / "dataset_dict.json")
    names = listed.get("splits") if isinstance(listed, dict) else None
    if not isinstance(names, list) or not names:
        raise UserError("errors.damaged_file", path=folder / "dataset_dict.json", reason="splits?")
    for name in names:
        part = folder / Path(str(name)).name
        if not (part / "state.json").is_file():
            raise UserError("errors.damaged_file", path=part / "state.json", reason="–")
        # A lone "train" is the library's word for everything; unknown names say nothing either.
        says = len(names) > 1 and columns.split_named(str(name)) is not None
        yield part, str(name) if says else ""


def _stream(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
            yield from _rows(reader, path)
    except pa.ArrowException as error:
        raise UserError("errors.damaged_file", path=path, reason=error) from error


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield from _rows(file.iter_batches(_BATCH), path)
    except pa.ArrowException as error:
        raise UserError("errors.damaged_file", path=path, reason=error) from error


def _rows(batches: "Iterator[pa.RecordBatch]", path: Path) -> Iterator[dict[str, Any]]:
    for number, batch in enumerate(batches):
        if number == 0 and not columns.hold_pairs(batch.schema.names):
            found = ", ".join(batch.schema.names)[:200]
            raise UserError("datasets.no_columns", path=path, found=found)
        # What a damaged file says of its own lengths must not be believed.
        batch.validate(full=True)
        for some in range(0, batch.num_rows, _BATCH):
            yield from batch.slice(some, _BATCH).to_pylist()
