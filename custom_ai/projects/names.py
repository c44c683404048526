"""Names of files that came from elsewhere: which of them may become paths inside a project."""

import re
import unicodedata

# Names Windows keeps for devices, whatever ending follows them.
RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"}
RESERVED |= {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"}

_MOST_BYTES = 200
_MOST_LETTERS = 1000
_DEEPEST = 32


def inner_path(name: str) -> tuple[str, ...] | None:
    """The parts of a relative path with forward slashes; None where it must not be followed.

    What passes stays below the folder it is put into and names a plain file on every system: no
    "..", no root, no drive, no backslash, no character or device name that Windows refuses.
    """
    plain = unicodedata.normalize("NFC", name)
    parts = tuple(plain.split("/"))
    if len(plain) > _MOST_LETTERS or len(parts) > _DEEPEST:
        return None
    return parts if all(_is_plain(part) for part in parts) else None


def _is_plain(part: str) -> bool:
    if not part or part != part.strip(" ") or part.endswith("."):
        return False
    if re.search(r'[\\<>:"|?*]', part) or any(_is_no_letter(letter) for letter in part):
        return False
    device = part.split(".")[0].rstrip(" ").casefold()
    return device not in RESERVED and len(part.encode()) <= _MOST_BYTES


def _is_no_letter(letter: str) -> bool:
    """Control characters, halves of characters, ends of line: no name of a file has them."""
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
