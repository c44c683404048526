"""Samples from the files of people and other programs: all of a file, or nothing of it."""

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from custom_ai.datasets import arrow, checks, columns
from custom_ai.datasets.collection import collect
from custom_ai.datasets.derive import write_samples
from custom_ai.datasets.doubles import Doubles
from custom_ai.datasets.journal import Record, append
from custom_ai.datasets.plan import SHARES
from custom_ai.datasets.quotes import normal
from custom_ai.datasets.rows import Row, read_text_rows, wrong
from custom_ai.datasets.sample import Sample, Split, Status
from custom_ai.documents import archives
from custom_ai.errors import UserError
from custom_ai.projects.project import Project

# Of more rows, only those are held against each other that ask the very same.
MOST_COMPARED = 5_000
# So many records are written, and forced to the disk, in one go.
_AT_ONCE = 1_000

_ARROW = (".parquet", ".arrow")
_CARDS = (".card.json", ".card.md")


@dataclass(frozen=True)
class Imported:
    """What an import did.

    added: samples that are new, `quarantined` of them doubted by the checks. unchanged: those that
    the project had already. shortened: conversations of which only the first question and answer
    were taken, or whose system message was left out.
    """

    added: int
    quarantined: int
    unchanged: int
    shortened: int


def import_samples(project: Project, path: Path) -> Imported:
    """Add the samples of a file or of a folder of Hugging Face datasets.

    JSON lines, a JSON array, CSV, Parquet, Arrow, or a zip file with one of these. A row holds a
    question and an answer (`columns` knows their names) or a conversation, and perhaps its split;
    one without a split gets one by chance, always the same for the same question. All rows are
    taken or, with a UserError naming line and field, none.
    """
    if not path.exists():
        raise UserError("datasets.file_missing", path=path)
    collection = collect(project)
    known = {_same(sample.instruction, sample.output) for sample in collection.of("accepted")}
    with _opened(path) as rows:
        # The first reading finds out what is wrong before anything is written.
        count = len([_exchange(row, path).more for row in rows()])
        if not count:
            raise UserError("datasets.empty_file", path=path)
        judge = _Judge(near=count <= MOST_COMPARED)
        tally = {"added": 0, "quarantined": 0, "unchanged": 0, "shortened": 0}

        def news() -> Iterator[Record]:
            for row in rows():
                found = _exchange(row, path)
                sample = _sample(row, found, path)
                key = _same(sample.instruction, sample.output)
                # One that was imported before counts as known also after it was changed.
                if key in known or collection.find(sample.id):
                    tally["unchanged"] += 1
                    continue
                known.add(key)
                sample, status = judge.look(sample)
                tally["added"] += 1
                tally["quarantined"] += status == "quarantined"
                tally["shortened"] += found.more
                yield {"type": "imported", "sample": sample.as_json(), "status": status}

        _write(project.journal, news())
    write_samples(project)
    return Imported(**tally)


def _write(journal: Path, records: Iterator[Record]) -> None:
    """Write the records of one import. They count when its last line stands there: a kill or a
    full disk on the way leaves nothing that anybody sees."""
    batch = ""
    while some := list(islice(records, _AT_ONCE)):
        batch = batch or _name(journal, some[0])
        for record in some:
            record |= {"id": f"{record['sample']['id']}@{batch}", "batch": batch}
        append(journal, *some)
    if batch:
        append(journal, {"type": "import_done", "batch": batch})


def _name(journal: Path, record: Record) -> str:
    """Another one for each attempt, also to import the same file."""
    size = journal.stat().st_size if journal.exists() else 0
    return hashlib.sha256(f"{size}:{record['sample']['id']}".encode()).hexdigest()[:12]


class _Judge:
    """The checks of an import: form, and whether the file says the same twice."""

    def __init__(self, near: bool) -> None:
        self._doubles = Doubles() if near else None
        self._asked: set[bytes] = set()

    def look(self, sample: Sample) -> tuple[Sample, Status]:
        """The sample with what the checks found, and what becomes of it.

        Somebody wanted it: what the checks object to waits for a person, nothing is rejected.
        """
        pair = checks.Pair(sample.instruction, sample.output, sample.quote, sample.kind)
        verdict = checks.check_form(pair, shortest=1)
        if double := self._double(pair):
            verdict.object_("double", double, "quarantined")
        status: Status = "quarantined" if verdict.status != "accepted" else "accepted"
        return replace(sample, checks=verdict.checks), status

    def _double(self, pair: checks.Pair) -> str:
        if self._doubles is not None:
            met = self._doubles.look(pair)
            if met is None:
                self._doubles.add(pair)
            return met.found if met else ""
        # Word for word the same pair is left out as known; this one has another answer.
        question = hashlib.sha256(normal(pair.instruction).encode()).digest()[:10]
        if question in self._asked:
            return "contradicts"
        self._asked.add(question)
        return ""


@contextmanager
def _opened(path: Path) -> Iterator[Callable[[], Iterator[Row]]]:
    """What gives the rows of a file or folder, as often as it is called."""
    if path.is_dir():
        yield _of_folder(path)
    elif path.suffix.lower() in _ARROW:
        yield lambda: arrow.read_file(path)
    elif zipfile.is_zipfile(path):
        archives.check(path)
        with tempfile.TemporaryDirectory() as folder:
            yield _of_folder(_unpacked(path, Path(folder)))
    else:
        yield lambda: read_text_rows(path)


def _of_folder(folder: Path) -> Callable[[], Iterator[Row]]:
    """A folder of datasets, the folder inside that is one, or the one file of samples in it."""
    for place in (folder, *sorted(p for p in folder.rglob("*") if p.is_dir())):
        if arrow.is_folder_of_datasets(place):
            return lambda: arrow.read_folder(place)
    found = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.endswith(_CARDS)]
    if len(found) != 1:
        raise UserError("datasets.no_dataset", path=folder, found=len(found))
    (file,) = found
    if file.suffix.lower() in _ARROW:
        return lambda: arrow.read_file(file)
    return lambda: read_text_rows(file)


def _unpacked(path: Path, folder: Path) -> Path:
    """The files of an archive in `folder`, by names that lead nowhere else."""
    with zipfile.ZipFile(path) as archive:
        for number, entry in enumerate(archive.infolist()):
            # A folder of datasets is one level deep, or two with the folder it was packed in.
            parts = [part for part in entry.filename.replace("\\", "/").split("/") if part]
            if entry.is_dir() or not parts or any(part in ("..", ".") for part in parts):
                continue
            target = folder.joinpath(*(part.replace(":", "_") for part in parts[-3:]))
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                target = target.with_name(f"{target.name}.{number}")
            with archive.open(entry) as source, open(target, "wb") as sink:
                while piece := source.read(1 << 20):
                    sink.write(piece)
    return folder


def _exchange(row: Row, path: Path) -> columns.Exchange:
    return columns.exchange(row.values, lambda field, reason: wrong(path, row.line, field, reason))


def _sample(row: Row, found: columns.Exchange, path: Path) -> Sample:
    """The sample of a row: where it was imported from, and what its own file says about it."""

    def said(name: str, most: int) -> str:
        value = row.values.get(name)
        return checks.clean(value)[:most] if isinstance(value, str) else ""

    words = f"{found.instruction}\n{found.output}"
    return Sample(
        instruction=found.instruction,
        output=found.output,
        id=hashlib.sha256(words.encode()).hexdigest()[:20],
        split=found.split or _by_chance(found.instruction),
        kind=said("kind", 40),
        quote=said("quote", 4_000),
        filename=path.name,
        language=said("language", 8),
        provider="import",
        file_line=row.line,
    )


def _by_chance(instruction: str) -> Split:
    digest = hashlib.sha256(instruction.encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"


def _same(instruction: str, output: str) -> bytes:
    """What two samples have in common that say the same, letter by letter."""
    return hashlib.sha256(f"{instruction}\n{output}".encode()).digest()[:10]
