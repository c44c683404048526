"""One question with its answer, and where it comes from."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from custom_ai.errors import UserError

Split = Literal["train", "validation", "exam"]
Status = Literal["accepted", "quarantined", "rejected"]


# Not a pydantic model: of these an app holds tens of thousands, and slots are a tenth of the size.
@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A line of sft_data.jsonl. Only `instruction` and `output` are needed to train elsewhere.

    split: "exam" samples are never trained on; they measure what a model learned.
    group: the piece of a document that no two splits share.
    quote: the words of the source that support the answer; they begin at the character
        `quote_start` of the source's text (None where they are not found there letter by letter).
    checks: what each check found, by its name.
    file_line: of the file `filename` that an imported sample came from.
    edited: a person changed the words. decided: the status a person gave it, whatever the checks
        say; None where nobody did.
    """

    # How pydantic reads one from a file, see `read_samples`.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    instruction: str
    output: str
    id: str = ""
    split: Split = "train"
    group: str = ""
    kind: str = ""
    quote: str = ""
    quote_start: int | None = None
    filename: str = ""
    source_sha256: str = ""
    document_id: int | None = None
    chunk_index: int | None = None
    page: int | None = None
    heading_path: tuple[str, ...] = ()
    language: str = ""
    provider: str = ""
    model: str = ""
    prompt_version: str = ""
    checks: dict[str, str] = field(default_factory=dict)
    file_line: int | None = None
    edited: bool = False
    decided: Status | None = None

    @property
    def reviewed(self) -> bool:
        """Whether a person had a say in it."""
        return self.edited or self.decided is not None

    @property
    def dataset(self) -> str:
        """What it came with: the model that wrote it, or the file it was imported from."""
        if self.provider == "import":
            return self.filename
        return dataset_name(self.provider, self.model)

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return dict(zip(_NAMES, _values(self), strict=True))

    def line(self) -> str:
        """The sample as a line of JSON, with its newline."""
        return _encode(self.as_json()) + "\n"


_NAMES = tuple(each.name for each in fields(Sample))
_values = attrgetter(*_NAMES)
_encode = json.JSONEncoder(ensure_ascii=False).encode


def dataset_name(provider: str, model: str) -> str:
    """What the samples of a model are called.

    By the provider alone where no model wrote them, which is when it gives its own name for one.
    """
    return provider if model in ("", provider) else f"{provider} {model}"


_reader = TypeAdapter(Sample)


def sample_from(values: dict[str, Any]) -> Sample:
    """A sample that was kept as JSON; raises pydantic's ValidationError where it is none."""
    return _reader.validate_python(values)


def read_samples(path: Path, split: Split | None = None) -> Iterator[Sample]:
    """The samples of a file such as sft_data.jsonl, all or those of one split, in its order.

    A missing file has no samples; a damaged line is a UserError that names it.
    """
    if not path.exists():
        return
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                sample = _reader.validate_json(line)
            except ValidationError as error:
                reason = f"{number}: {error.errors()[0]['msg']}"
                raise UserError("errors.damaged_file", path=path, reason=reason) from error
            if split is None or sample.split == split:
                yield sample
