"""Numbers as people of each language type and read them."""

import re
from typing import Any

from custom_ai.errors import UserError
from custom_ai.texts import language


def read_number(text: str, kind: Any, label: str) -> int | float:
    """A number as people type it: "0,0002" and "0.0002" are the same, spaces are left out.

    kind: int or float. Raises UserError for anything else.
    """
    plain = re.sub(r"[\s\u202f']", "", text).replace(",", ".")
    try:
        return int(plain) if kind is int else float(plain)
    except ValueError as error:
        raise UserError("ui.no_number", label=label, value=text) from error


def write_number(value: float) -> str:
    """A number as a person of this language types it; never as 2e-05."""
    text = f"{value:.10f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return text.replace(".", ",") if language() == "de" else text
