"""How far adding files is: measured by their size, said page by page, stopped between two pages."""

import time
from collections.abc import Sequence

from custom_ai.documents.folders import FoundFile
from custom_ai.step import Step

# How often a long file says where it is, and looks whether somebody wants it to stop.
_SAY_SECONDS = 0.5
_LOOK_SECONDS = 0.2
# A file that takes less says nothing of its own, and is finished before a stop.
_PATIENCE_SECONDS = 2.0
# What a file costs by itself, in bytes that could be read meanwhile.
_EACH = 20_000
# How much of the work on a file is reading it; the rest is cutting it into chunks.
_READING = 0.5


class Advance:
    """Reports the progress of a step that adds files, one after the other.

    Every event has the share of the whole work that is done, by the bytes of the files, beside the
    number of files; while a long file is read also its page and its pages.
    """

    def __init__(self, step: Step, files: Sequence[FoundFile]) -> None:
        self._step = step
        self._files = files
        self._weights = [_EACH + _size(file) for file in files]
        self._whole = sum(self._weights)
        self._number = -1
        self._before = 0
        self._said = self._looked = 0.0

    def next_file(self) -> None:
        """The next file begins. Raises Stopped when somebody asked for it."""
        if self._number >= 0:
            self._before += self._weights[self._number]
        self._number += 1
        self._step.stop_if_asked()
        self._said = self._looked = time.monotonic() + _PATIENCE_SECONDS
        self._say(0.0)

    def page(self, done: int, total: int) -> None:
        """So many pages of the file are read (0 of 0: unknown). Raises Stopped."""
        if self._is_due() and total:
            self._say(_READING * done / total, page=done, pages=total)

    def cut(self, share: float) -> None:
        """This share of the file's text is cut into chunks. Raises Stopped."""
        if self._is_due():
            self._say(_READING + (1 - _READING) * share)

    def done(self) -> None:
        """All files are through."""
        count = len(self._files)
        self._step.progress(count, count, "documents", share=1.0)

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._step.stop_if_asked()
        if now - self._said < _SAY_SECONDS:
            return False
        self._said = now
        return True

    def _say(self, of_file: float, **details: int) -> None:
        share = (self._before + of_file * self._weights[self._number]) / self._whole
        name = self._files[self._number].filename
        count = len(self._files)
        self._step.progress(
            self._number, count, "documents", share=round(share, 6), file=name, **details
        )


def _size(file: FoundFile) -> int:
    try:
        return file.path.stat().st_size
    except OSError:  # it says so itself when its turn comes
        return 0
