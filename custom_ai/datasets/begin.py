"""How answers are asked for, noted in the journal before the first one: options and prompts."""

from collections.abc import Iterable
from typing import Any, Protocol

from custom_ai.datasets.journal import Journal, Type
from custom_ai.options import Options
from custom_ai.providers.provider import Price

# What says nothing about the answers, or where somebody's server is.
_NOT_NOTED = {
    "base_url",
    "model",
    "count",
    "budget",
    "concurrency",
    "requests_per_minute",
    "wait_for_server",
}


class Words(Protocol):
    """The words that a model is asked with."""

    def version(self, language: str) -> str:
        """A checksum of those for documents in this language."""
        ...

    def templates(self, language: str) -> dict[str, str]:
        """The templates they are made of, by name."""
        ...


def note(
    journal: Journal,
    provider: str,
    model: str,
    options: Options,
    chosen: Words,
    languages: Iterable[str],
    price: Price | None = None,
    type_: Type = "begin",
) -> None:
    """Write what the answers of this model are asked with from here on, once for each prompt.

    price: what the provider says the model costs; None where it does not say.
    """
    known = list(journal.contents.of(type_))
    for version, language in sorted({chosen.version(each): each for each in languages}.items()):
        said: dict[str, Any] = {
            "provider": provider,
            "model": model,
            "prompt_version": version,
            "options": options.model_dump(exclude=_NOT_NOTED),
            "prompts": chosen.templates(language),
            "price": None if price is None else {k: str(v) for k, v in vars(price).items()},
        }
        if not any(said.items() <= record.items() for record in known):
            journal.append(type_, **said)
