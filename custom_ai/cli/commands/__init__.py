"""The commands, in the order of the chain; each is a module of its own that registers it."""

from importlib import import_module
from types import ModuleType

COMMANDS = (
    "ui",
    "demo",
    "doctor",
    "project",
    "documents",
    "model",
    "providers",
    "samples",
    "train",
    "export",
    "chat",
    "evaluate",
    "runs",
    "engine",
    "settings",
    "worker",
)


def load(name: str) -> ModuleType:
    """The module of one command: what the others need takes longer than most of them."""
    return import_module(f"{__name__}.{name}")
