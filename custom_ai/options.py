"""Options of a step: one pydantic field is the source of form, tooltip, command line and manual."""

from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from custom_ai.errors import UserError
from custom_ai.texts import t


class Options(BaseModel):
    """A set of options. Its help texts stand under `<texts>.option.<field>` in both languages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: ClassVar[str] = ""

    @classmethod
    def help(cls, field: str) -> str:
        """What the option does, in the user's language."""
        return t(f"{cls.texts}.option.{field}")

    @classmethod
    def label(cls, field: str) -> str:
        """What a form calls the option, in the user's language."""
        return t(f"{cls.texts}.label.{field}")

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Make the options from what a person gave; the first wrong one is a UserError."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise UserError(
                "errors.wrong_option",
                option=name.replace("_", "-"),
                value=first.get("input"),
                reason=first["msg"],
            ) from error


def flag(name: str) -> str:
    """The command-line option of a field: learning_rate → --learning-rate."""
    return "--" + name.replace("_", "-")


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values of a field that takes one of a few words; empty for every other field."""
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def limits(field: FieldInfo) -> dict[str, float]:
    """The bounds of a numeric field: {"ge": …, "le": …, "gt": …, "lt": …}, those that are set."""
    found = {}
    for rule in field.metadata:
        for name in ("ge", "le", "gt", "lt"):
            if (value := getattr(rule, name, None)) is not None:
                found[name] = value
    return found
