"""HTML fragments from the templates in `templates/`: escaped, in the user's language."""

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from custom_ai.errors import UserError
from custom_ai.runs import standing
from custom_ai.texts import known, language, t

_HERE = Path(__file__).parent


def render(name: str, **values: Any) -> str:
    """The fragment `templates/<name>.html`. Whatever is put in is text, never markup."""
    return _environment().get_template(f"{name}.html").render(**values)


def banner(error: UserError) -> str:
    """An error as a banner: what happened, and what to do now."""
    return render("banner", kind="error", message=error.message, hint=error.hint)


def notice(message: str, hint: str = "", kind: str = "ok") -> str:
    """A banner that says something good ("ok") or something to look at ("warning")."""
    return render("banner", kind=kind, message=message, hint=hint)


def number(value: float | None, digits: int | None = None) -> str:
    """1234.5 → "1,234.5" or "1.234,5"; None → "–". digits: how many after the decimal sign."""
    if value is None:
        return "–"
    text = f"{value:,.{digits}f}" if digits is not None else f"{value:,}"
    if language() == "de":
        text = text.translate(str.maketrans(",.", ".,"))
    return text


def significant(value: float | None, digits: int = 4) -> str:
    """A measured value with so many digits that say something; tiny ones as 2e-05."""
    if value is None:
        return "–"
    text = f"{value:.{digits}g}"
    return text.replace(".", ",") if language() == "de" else text


def percent(share: float | None) -> str:
    """0.934 → "93 %"."""
    return "–" if share is None else f"{share * 100:.0f}\u202f%"


def size(count: float | None) -> str:
    """Bytes as people read them: 1536 → "1.5 KB"."""
    if count is None:
        return "–"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{number(count, 0 if unit == 'B' or count >= 100 else 1)}\u202f{unit}"
        count /= 1024
    raise AssertionError


def duration(seconds: float | None) -> str:
    """As runs.standing.duration; None → "–"."""
    return "–" if seconds is None else standing.duration(seconds)


def moment(text: str) -> str:
    """An ISO time as a day and a minute of this computer's clock."""
    there = datetime.fromisoformat(text).astimezone()
    return there.strftime("%d.%m.%Y, %H:%M" if language() == "de" else "%d %b %Y, %H:%M")


def marked(text: str, spans: list[tuple[int, int]]) -> Markup:
    """The text with the given stretches of characters highlighted."""
    parts, last = [], 0
    for start, end in sorted(spans):
        if start >= last:
            parts += [Markup("{}<mark>{}</mark>").format(text[last:start], text[start:end])]
            last = end
    return Markup("").join([*parts, text[last:]])


@cache
def icon(name: str) -> Markup:
    """One of the line icons in `templates/icons`, drawn in the colour of the text around it."""
    return Markup((_HERE / "templates" / "icons" / f"{name}.svg").read_text(encoding="utf-8"))


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(t=t, known=known, icon=icon, language=language)
    for filter_ in (number, significant, percent, size, duration, moment, marked):
        found.filters[filter_.__name__] = filter_
    return found
