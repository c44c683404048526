"""Command-line options made from the pydantic models: one field, one option."""

import argparse
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from custom_ai.options import Options, flag, limits
from custom_ai.texts import t

Parsers = Any  # argparse keeps the type of its sub-parsers private


def command(
    parsers: Parsers, name: str, call: Callable[[argparse.Namespace], Any]
) -> argparse.ArgumentParser:
    """Add one command. Its help is the text `cli.<name>`, with `_` for every space."""
    text = t(f"cli.{name.replace(' ', '_')}")
    parser: argparse.ArgumentParser = parsers.add_parser(
        name.split()[-1], help=text, description=text
    )
    parser.add_argument("--json", action="store_true", help=t("cli.json"))
    parser.set_defaults(command=call)
    return parser


def group(parsers: Parsers, name: str) -> Parsers:
    """Add a command that only groups others (`project create`, `project list`, …)."""
    text = t(f"cli.{name}")
    parser = parsers.add_parser(name, help=text, description=text)
    return parser.add_subparsers(
        title=t("cli.commands"), metavar=t("cli.command"), required=True, dest=f"{name}_command"
    )


def add_project(parser: argparse.ArgumentParser) -> None:
    """The argument that names the project."""
    parser.add_argument("project", metavar="PROJECT", help=t("cli.project_name"))


def add_options(
    parser: argparse.ArgumentParser, options: type[Options], skip: tuple[str, ...] = ()
) -> None:
    """Add one option per field; what is not given is not in the result of `given`."""
    for name, field in options.model_fields.items():
        if name not in skip:
            _add_option(parser, name, field, options.help(name))


def given(args: argparse.Namespace, options: type[Options]) -> dict[str, Any]:
    """The options that stand on the command line."""
    return {
        name: getattr(args, name)
        for name in options.model_fields
        if getattr(args, name, None) is not None
    }


def _add_option(parser: argparse.ArgumentParser, name: str, field: FieldInfo, text: str) -> None:
    kind = _plain_type(field.annotation)
    help_text = f"{text} {_range(field)}".strip().replace("%", "%%")
    if kind is bool:
        parser.add_argument(
            flag(name), action=argparse.BooleanOptionalAction, default=None, help=help_text
        )
    elif get_origin(kind) is Literal:
        parser.add_argument(flag(name), choices=get_args(kind), default=None, help=help_text)
    else:
        readers: dict[Any, Callable[[str], Any]] = {int: int, float: _number}
        parser.add_argument(
            flag(name),
            type=readers.get(kind, str),
            default=None,
            metavar="NUMBER" if kind in readers else "TEXT",
            help=help_text,
        )


def _number(text: str) -> float:
    """A number as people write it; Germans write 0,0002."""
    return float(text.replace(",", "."))


def _plain_type(annotation: Any) -> Any:
    """`int | None` → int."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _range(field: FieldInfo) -> str:
    bounds = limits(field)
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    parts = []
    if low is not None and high is not None:
        parts.append(f"{low:g} – {high:g}")
    if not field.is_required() and field.default is not None and field.default != "":
        parts.append(t("cli.default", value=field.default))
    return f"({'; '.join(parts)})" if parts else ""
