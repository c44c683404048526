"""The command line: parse, call, print. One module per step of the chain in `commands`."""

from custom_ai.cli.main import main

__all__ = ["main"]
