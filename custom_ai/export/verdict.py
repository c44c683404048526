"""What an acceptance test found: its checks, in words and as JSON, and the dialogues it asks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.providers.local import Message
from custom_ai.texts import t

DIALOGUES: tuple[tuple[Message, ...], ...] = (
    ({"role": "user", "content": "Wie groß ist die Straßenbrücke über den Fluss?"},),
    ({"role": "user", "content": "What does the document say about 12,345.67 €?"},),
    (
        {"role": "user", "content": "Guten Tag!\n\nÄhm … können Sie\tmir  helfen?"},
        {"role": "assistant", "content": "Natürlich: Fragen Sie mich („gern“)."},
        {"role": "user", "content": "I'll ask in English, don't worry: 数学 – naïve?"},
    ),
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    value, bound: what was found and what was demanded. text: the key of its description.
    """

    name: str
    ok: bool
    value: float | int | str
    bound: float | int | str
    text: str

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return asdict(self)


@dataclass(frozen=True)
class Acceptance:
    """All checks of one export."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def verdict(self) -> str:
        """What came of it, in a sentence in the user's language."""
        for check in self.checks:
            if not check.ok:
                return self._failure(check).message
        return t("export.verdict", count=len(self.checks))

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        checks = [check.as_json() for check in self.checks]
        return {"ok": self.ok, "verdict": self.verdict, "checks": checks}

    def require(self) -> None:
        """Raise UserError naming the first check that failed, which is the likeliest cause."""
        for check in self.checks:
            if not check.ok:
                raise self._failure(check)

    def save(self, folder: Path) -> None:
        """Write acceptance.json, or raise UserError as `require` does."""
        self.require()
        files.write_json(folder / "acceptance.json", self.as_json())

    @staticmethod
    def _failure(check: Check) -> UserError:
        value, bound = (
            f"{v:.3g}" if isinstance(v, float) else v for v in (check.value, check.bound)
        )
        return UserError(f"export.failed.{check.name}", value=value, bound=bound)


def tokens_check(read: list[list[int]], wanted: list[list[int]]) -> Check:
    """Whether every dialogue became the tokens of the training."""
    same = sum(a == b for a, b in zip(read, wanted, strict=True))
    return Check("tokens", same == len(wanted), same, len(wanted), "export.check.tokens")
