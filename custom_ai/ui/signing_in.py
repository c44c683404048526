"""Signing in with OpenRouter from the app: one attempt at a time, for every window.

A key belongs to the person, not to a project or a window: whichever window asks sees the same
attempt. It waits in a thread of its own, so that no page has to.
"""

import contextvars
import threading

from custom_ai.errors import UserError
from custom_ai.providers.openrouter_login import Callback, Login
from custom_ai.ui.here import explain


class Attempt:
    """An attempt to sign in. page: where people agree; page_with_code: the same for a browser on
    another computer, which shows a code to paste. problem: why it failed, once it has."""

    def __init__(self) -> None:
        self.problem: UserError | None = None
        self.over = False
        self._login = Login()
        self._callback = Callback(self._login)
        self.page = self._login.address(self._callback.url)
        self.page_with_code = self._login.address()
        # The words on the page the browser ends on, in the language of the window that asked.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._wait,), daemon=True).start()

    def paste(self, code: str) -> None:
        """Take the code that the page has shown; raises UserError where it gives no key."""
        self._login.finish(code)
        self.stop()

    def stop(self) -> None:
        """Wait no longer."""
        self.over = True
        self._callback.stop()

    def _wait(self) -> None:
        try:
            with self._callback:
                self._login.finish(self._callback.wait())
        except Exception as error:
            # After `stop` it is no failure that nobody came back.
            self.problem = None if self.over else explain(error)
        self.over = True


_lock = threading.Lock()
_newest: Attempt | None = None


def begin() -> Attempt:
    """Start anew; an attempt that is under way is given up."""
    global _newest
    with _lock:
        if _newest:
            _newest.stop()
        _newest = Attempt()
        return _newest


def current() -> Attempt | None:
    """The attempt that is under way, or the one that has failed; None where there is none."""
    attempt = _newest
    return None if attempt is None or (attempt.over and not attempt.problem) else attempt
