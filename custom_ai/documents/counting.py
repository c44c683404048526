"""Whose count of tokens the chunks of a project are."""

from pathlib import Path

from custom_ai.documents import store, tokens
from custom_ai.errors import UserError
from custom_ai.projects.project import Project


def estimated(project: Project, tokenizer: str) -> bool:
    """Whether counts of this tokenizer ("starter@1a2b3c4d") are only estimates in this project:
    the bundled one stands in for a base model whose own is not known."""
    return tokenizer.startswith("starter@") and project.config.base_model != "starter"


def counted_otherwise(
    project: Project, tokenizer_file: Path = tokens.STARTER, name: str = "starter"
) -> int:
    """How many documents have chunks that were not counted with this tokenizer.

    Raises UserError when the tokenizer is missing.
    """
    if not store.exists(project):
        return 0
    try:
        now = tokens.identity_of(tokenizer_file.read_bytes(), name)
    except FileNotFoundError as error:
        raise UserError("documents.tokenizer_missing", path=tokenizer_file) from error
    with store.open_store(project) as documents:
        sources = documents.sources()
    # Such as "Qwen/Qwen3-0.6B@1a2b3c4d/512/50".
    return sum(source.chunking.rsplit("/", 2)[0] != now for source in sources)
