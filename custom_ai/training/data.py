"""The samples of a training: read, split into train and validation, turned into tokens."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_ai.errors import UserError
from custom_ai.models.chat_template import Messages, conversation_tokens, prompt_tokens
from custom_ai.step import Step
from custom_ai.training.config import TrainingOptions

# The label transformers leaves out of the loss.
IGNORED = -100

_SPLITS = ("train", "validation", "exam")

# So many line numbers are named in a warning.
_NAMED_LINES = 5


@dataclass(frozen=True)
class TrainingSample:
    """One question and its answer. line: where it stands in the file, from 1."""

    instruction: str
    output: str
    line: int

    @property
    def prompt(self) -> Messages:
        """The conversation up to the answer."""
        return [{"role": "user", "content": self.instruction}]

    @property
    def completion(self) -> Messages:
        """The answer, as the part of the conversation that is learnt."""
        return [{"role": "assistant", "content": self.output}]


@dataclass(frozen=True)
class EncodedSample:
    """A sample as tokens. labels: the tokens to learn, `IGNORED` up to the answer."""

    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class _Row:
    sample: TrainingSample
    split: str | None
    group: str | None


def load_samples(
    path: Path, options: TrainingOptions
) -> tuple[list[TrainingSample], list[TrainingSample]]:
    """Read data/sft_data.jsonl: what is learnt from, and what is only measured with.

    A row says itself where it belongs ("split"); rows of the exam are never returned. Where no
    row is marked for validation, whole groups (else single rows) are drawn with the seed.
    Raises UserError that names line and field, or says that there is nothing to learn from.
    """
    rows = _read_rows(path)
    chosen = [row for row in rows if row.split == "validation"]
    train = [row for row in rows if row.split in (None, "train")]
    if not chosen and options.validation_share > 0:
        train, chosen = _draw(train, options.validation_share, options.seed)
    if not train:
        raise UserError("training.no_samples", path=path)
    return [row.sample for row in train], [row.sample for row in chosen]


def encode(
    samples: list[TrainingSample], tokenizer: Any, max_length: int, step: Step
) -> list[EncodedSample]:
    """Turn samples into tokens, at most `max_length` each; the loss counts the answer alone.

    Reports which samples were cut, and which were left out because nothing of their answer was
    left. The tokenizer must have a chat template.
    """
    encoded, cut, dropped = [], [], []
    for sample in samples:
        tokens, start = tokenize(sample, tokenizer)
        if start >= max_length:
            dropped.append(sample.line)
            continue
        if len(tokens) > max_length:
            cut.append(sample.line)
        labels = [IGNORED] * start + tokens[start:]
        encoded.append(EncodedSample(tokens[:max_length], labels[:max_length]))
    if cut:
        step.warn(
            "training.samples_cut", count=len(cut), max_length=max_length, lines=name_lines(cut)
        )
    if dropped:
        step.warn(
            "training.samples_dropped",
            count=len(dropped),
            max_length=max_length,
            lines=name_lines(dropped),
        )
    return encoded


def tokenize(sample: TrainingSample, tokenizer: Any) -> tuple[list[int], int]:
    """The tokens of a sample, and from which of them on it is learnt."""
    tokens = conversation_tokens(tokenizer, sample.prompt + sample.completion)
    return tokens, _common_length(tokens, prompt_tokens(tokenizer, sample.prompt))


def _read_rows(path: Path) -> list[_Row]:
    if not path.exists():
        raise UserError("training.no_samples", path=path)
    rows = []
    with open(path, encoding="utf-8") as stream:
        try:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    rows.append(_read_row(path, number, line))
        except UnicodeDecodeError as error:
            raise UserError("training.no_utf8", path=path) from error
    return rows


def _read_row(path: Path, number: int, line: str) -> _Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError("training.bad_line", path=path, line=number, reason=error) from error
    if not isinstance(values, dict):
        raise UserError("training.no_object", path=path, line=number)
    for field in ("instruction", "output"):
        if not isinstance(values.get(field), str) or not values[field].strip():
            raise UserError("training.bad_field", path=path, line=number, field=field)
    split, group = values.get("split"), values.get("group")
    if split is not None and split not in _SPLITS:
        raise UserError("training.bad_split", path=path, line=number, value=split)
    sample = TrainingSample(values["instruction"], values["output"], number)
    return _Row(sample, split, None if group is None else str(group))


def _draw(rows: list[_Row], share: float, seed: int) -> tuple[list[_Row], list[_Row]]:
    """Split rows into train and validation by whole groups; at least one group is left to learn.

    Questions from one place of a document share their words: a validation with rows of a group
    that is learnt would measure memory.
    """
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        name = f"row {row.sample.line}" if row.group is None else f"group {row.group}"
        groups.setdefault(name, []).append(row)
    names = list(groups)
    random.Random(seed).shuffle(names)
    wanted = max(1, round(share * len(rows)))
    drawn: set[str] = set()
    count = 0
    for name in names:
        if count >= wanted or len(drawn) == len(names) - 1:
            break
        # A group that would take far more than its share is left to learn from.
        if count + len(groups[name]) <= max(wanted, len(rows) // 2):
            drawn.add(name)
            count += len(groups[name])
    chosen = {id(row) for name in drawn for row in groups[name]}
    train = [row for row in rows if id(row) not in chosen]
    return train, [row for row in rows if id(row) in chosen]


def _common_length(a: list[int], b: list[int]) -> int:
    """How many tokens two sequences share at their start.

    The prompt is nearly always a prefix of the conversation; where a template or a merged token
    makes them part earlier, learning starts there.
    """
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


def name_lines(numbers: list[int]) -> str:
    """The first few line numbers, for a message."""
    named = ", ".join(map(str, numbers[:_NAMED_LINES]))
    return named if len(numbers) <= _NAMED_LINES else f"{named}, …"
