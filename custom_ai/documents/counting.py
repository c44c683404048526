"""Which documents were cut by another model's count of tokens."""

from pathlib import Path

from custom_ai.documents import tokens
from custom_ai.errors import UserError
from custom_ai.projects import database
from custom_ai.projects.project import Project


def counted_otherwise(
    project: Project, tokenizer_file: Path = tokens.STARTER, name: str = "starter"
) -> int:
    """How many documents have chunks that were not counted with this tokenizer.

    Raises UserError when the tokenizer is missing.
    """
    if not project.database.exists():
        return 0
    try:
        now = tokens.identity_of(tokenizer_file.read_bytes(), name)
    except FileNotFoundError as error:
        raise UserError("documents.tokenizer_missing", path=tokenizer_file) from error
    with database.connect(project.database) as db:
        rows = db.execute("SELECT chunking FROM sources").fetchall()
    # Such as "Qwen/Qwen3-0.6B@1a2b3c4d/512/50".
    return sum(chunking.rsplit("/", 2)[0] != now for (chunking,) in rows)
