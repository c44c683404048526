"""Forms drawn from pydantic options: one field is the widget, its label, its help, its limits."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from custom_ai.errors import UserError
from custom_ai.options import Options, choices, limits
from custom_ai.texts import known, t
from custom_ai.ui.numbers import read_number, write_number

# Up to so many steps, a whole number is a slider; beyond, one types it.
_SLIDER_STEPS = 64


class Form:
    """The widgets of fields of an Options class, in the order in which they were drawn.

    offered: for fields that are free text, the words there are on this machine at the moment.
    """

    def __init__(
        self,
        options: type[Options],
        offered: Mapping[str, Callable[[], list[str]]] | None = None,
    ) -> None:
        self.options = options
        self._offered = offered or {}
        self.fields: list[str] = []
        self.widgets: list[Component] = []

    def draw(self, *fields: str) -> None:
        """Make the widgets of these fields at this place of the page."""
        self.fields += fields
        for name in fields:
            named = self._named(name)
            self.widgets.append(_widget(self.options, name, named))

    def values(self, given: Sequence[Any]) -> dict[str, Any]:
        """What the widgets say, as the option class takes it; raises UserError when wrong."""
        pairs = zip(self.fields, given, strict=True)
        return {name: _read(self.options, name, value) for name, value in pairs}

    def shown(self, values: dict[str, Any]) -> list[Any]:
        """What the widgets are to show for these values; the default where there is none."""
        return [_shown(self.options, name, values.get(name)) for name in self.fields]

    def renewed(self, values: dict[str, Any]) -> list[Any]:
        """The same, and what is offered at the moment: it may have come or gone since the page was
        made. A widget that is made anew costs as much as showing twenty values."""
        return [
            self._renewed(name, value) if name in self._offered else value
            for name, value in zip(self.fields, self.shown(values), strict=True)
        ]

    def check(self, *given: Any) -> list[Any]:
        """A validator for Gradio: each wrong widget gets its message beside it."""
        reasons = [self._wrong(n, v) for n, v in zip(self.fields, given, strict=True)]
        return [gr.validate(not reason, reason) for reason in reasons]

    def _named(self, name: str) -> list[tuple[str, str]]:
        """What one chooses from, as (label, word); empty where one doesn't."""
        offer = self._offered.get(name)
        words = offer() if offer else choices(self.options.model_fields[name])
        return [(_word(self.options, name, word), word) for word in words]

    def _renewed(self, name: str, value: Any) -> Component:
        named = self._named(name)
        words = [word for _, word in named]
        return gr.Dropdown(named, value=value if value in words else next(iter(words), None))

    def _wrong(self, name: str, value: Any) -> str:
        try:
            self.options.model_validate({name: _read(self.options, name, value)})
        except UserError as error:
            return error.message
        except ValidationError as error:
            # Other fields may be required; only this one is looked at.
            if any(e["loc"][:1] == (name,) for e in error.errors()):
                return _range_of(self.options.model_fields[name])
        return ""


def _widget(options: type[Options], name: str, named: list[tuple[str, str]]) -> Component:
    field = options.model_fields[name]
    about: dict[str, Any] = {"label": options.label(name), "info": options.help(name)}
    value = _shown(options, name, None)
    if named:
        return gr.Dropdown(named, value=value, filterable=False, **about)
    if field.annotation is bool:
        return gr.Checkbox(value=value, **about)
    if _is_slider(field):
        low, high = limits(field)["ge"], limits(field)["le"]
        return gr.Slider(low, high, step=1, value=value, buttons=[], **about)
    return gr.Textbox(value=value, max_lines=1, **about)


def _is_slider(field: FieldInfo) -> bool:
    found = limits(field)
    bounded = "ge" in found and "le" in found
    return field.annotation is int and bounded and found["le"] - found["ge"] <= _SLIDER_STEPS


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    found = limits(field)
    return found.get("ge", found.get("gt")), found.get("le", found.get("lt"))


def _word(options: type[Options], name: str, word: str) -> str:
    key = f"{options.texts}.choice.{name}.{word}"
    return t(key) if known(key) else word


def _shown(options: type[Options], name: str, value: Any) -> Any:
    """A value as its widget takes it: typed numbers as text, in the language's way."""
    field = options.model_fields[name]
    if value is None:
        value = "" if field.is_required() else field.get_default()
    typed = field.annotation in (int, float) and not _is_slider(field)
    return write_number(value) if typed and value != "" else value


def _read(options: type[Options], name: str, value: Any) -> Any:
    """What a person put in, as the field takes it."""
    kind = options.model_fields[name].annotation
    if kind in (int, float) and isinstance(value, str):
        return read_number(value, kind, options.label(name))
    return value


def _range_of(field: FieldInfo) -> str:
    low, high = _bounds(field)
    if low is None or high is None:
        return t("ui.wrong_value")
    return t("ui.out_of_range", low=write_number(low), high=write_number(high))
