"""The only failure people see: what happened, and what to do now, in their language."""

import errno
from typing import Any

from custom_ai.texts import known, t


class UserError(Exception):
    """A failure with a message and a hint in the user's language.

    `code` is the key of the message in the texts ("documents.missing"); the hint stands beside it
    under the same key with ".hint". The code and the values travel in events and `--json`, so that
    another process can say the same thing in another language.
    """

    def __init__(self, code: str, /, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.values = {name: str(value) for name, value in values.items()}

    @property
    def message(self) -> str:
        """What happened, in the user's language."""
        return t(self.code, **self.values)

    @property
    def hint(self) -> str:
        """What to do now; empty where the message says it all."""
        key = f"{self.code}.hint"
        return t(key, **self.values) if known(key) else ""

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return {
            "message": self.message,
            "hint": self.hint,
            "code": self.code,
            "values": self.values,
        }


class Stopped(Exception):
    """A step ended early because somebody asked for it; its work so far is saved."""

    def __init__(self, wish: str) -> None:
        super().__init__(wish)
        self.wish = wish


def from_os_error(error: OSError) -> UserError | None:
    """What a failed file operation means for people, or None where it means a defect of ours."""
    path = error.filename if isinstance(error.filename, str) else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError("errors.disk_full", path=path)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError("errors.no_permission", path=path)
    if error.errno == errno.EIO:
        return UserError("errors.disk_broken", path=path)
    return None


def from_exception(error: BaseException) -> UserError | None:
    """Find the cause people can act on, also behind a library's own exception."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, UserError):
            return seen
        if isinstance(seen, OSError) and (found := from_os_error(seen)):
            return found
        if isinstance(seen, MemoryError):
            return UserError("errors.out_of_memory")
        # Rust and C libraries wrap the operating system's words instead of its number.
        text = str(seen).lower()
        if "no space left on device" in text or "disk is full" in text:
            return UserError("errors.disk_full", path="")
        seen = seen.__cause__ or seen.__context__
    return None
