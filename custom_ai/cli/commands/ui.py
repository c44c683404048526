"""`ui`: the app in the browser; what happens where no command is given."""

import argparse
from typing import ClassVar

from pydantic import Field

from custom_ai.cli.arguments import Parsers, add_options, command, given
from custom_ai.cli.outcome import Outcome
from custom_ai.options import Options


class UiOptions(Options):
    """Where the app is served, and how it is shown."""

    texts: ClassVar[str] = "ui_server"

    port: int | None = Field(default=None, ge=1, le=65535)
    browser: bool = True
    window: bool = False


def register(parsers: Parsers) -> None:
    """Add the command."""
    add_options(command(parsers, "ui", _open), UiOptions)


def _open(args: argparse.Namespace) -> Outcome:
    options = UiOptions.parse(given(args, UiOptions))
    # Here, because the other commands need no server.
    from custom_ai.ui import launch

    show: launch.Show = "browser" if options.browser else "nothing"
    code = launch.open_app(options.port, "window" if options.window else show, args.json)
    return Outcome(None, code=code)
