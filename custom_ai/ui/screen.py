"""What every tab of a page stands on: its language, its project, its banner, its events."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.texts import in_language
from custom_ai.ui import here
from custom_ai.ui.render import banner

# How every event is bound. Our handlers give what the widgets take: without Gradio's own look at
# each value, which costs a change of threads, a form is filled in a third of the time.
_BOUND: dict[str, Any] = {
    "postprocess": False,
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": None,
}

# After an action: what it changed is asked for at once, not at the next look.
_LOOK = "() => window.customAi.look()"


class Screen:
    """One page in one language.

    Handlers are plain functions `do(project, *values)`. They run in the page's language, on the
    project of the window that asks; a UserError becomes the banner and leaves all else as it was.
    """

    def __init__(self, page: gr.Blocks, lang: str, place: gr.HTML) -> None:
        self.page = page
        self.lang = lang
        self._banner = place
        self._loads: list[tuple[Callable[[Project], Any], list[Component]]] = []

    def on(
        self,
        event: Callable[..., Any],
        do: Callable[..., Any],
        inputs: Sequence[Component] = (),
        outputs: Sequence[Component] = (),
        validator: Callable[..., Any] | None = None,
    ) -> None:
        """Bind `do` to an event such as `button.click`.

        A second click while the first is at work does nothing. do: returns a list with one value
        per output, or the only one itself; None for none. validator: gets the inputs, see
        `form.Form`.
        """
        event(
            self._handler(do, len(outputs)),
            inputs=list(inputs),
            outputs=[*outputs, self._banner],
            validator=self._validator(validator) if validator else None,
            trigger_mode="once",
            **_BOUND,
        ).then(None, js=_LOOK)

    def on_change(
        self,
        widget: Component,
        do: Callable[..., Any],
        inputs: Sequence[Component],
        outputs: Sequence[Component],
    ) -> None:
        """Redraw something while a person changes a widget; what is wrong so far is no error."""

        def handle(request: gr.Request, *values: Any) -> Any:
            with in_language(self.lang):
                try:
                    found = do(_project(request), *values)
                except UserError:
                    # Half of a number, for instance; the start of the work says what is wrong.
                    return _each([gr.skip()] * len(outputs))
            return _each(_values(found, len(outputs)))

        widget.change(  # type: ignore[attr-defined]
            handle,
            inputs=list(inputs),
            outputs=list(outputs),
            trigger_mode="always_last",
            **_BOUND,
        )

    def on_load(self, do: Callable[[Project], Any], outputs: Sequence[Component]) -> None:
        """Fill widgets when the page opens on a project; `do` gives values as for `on`."""
        self._loads.append((do, list(outputs)))

    def finish(self) -> None:
        """Bind what `on_load` collected: one request fills the whole page."""
        every = [output for _, outputs in self._loads for output in outputs]

        def load(request: gr.Request) -> Any:
            if not request.query_params.get("project"):
                return [gr.skip()] * len(every)
            found: list[Any] = []
            for do, outputs in self._loads:
                # One tab that can't be filled leaves the others as they are to be.
                found += self._run(do, len(outputs), request)[:-1]
            return found

        filled = self.page.load(
            load,
            inputs=None,
            outputs=every,
            **_BOUND,
        )
        filled.then(None, js="() => customAiOpening.filled()")

    def _handler(self, do: Callable[..., Any], n_outputs: int) -> Callable[..., Any]:
        def handle(request: gr.Request, *given: Any) -> Any:
            return _each(self._run(do, n_outputs, request, *given))

        return handle

    def _run(
        self, do: Callable[..., Any], n_outputs: int, request: gr.Request, *given: Any
    ) -> list[Any]:
        """What the outputs are to show, and last the banner."""
        with in_language(self.lang):
            try:
                return [*_values(do(_project(request), *given), n_outputs), ""]
            except Exception as error:
                return [*[gr.skip()] * n_outputs, banner(here.explain(error))]

    def _validator(self, check: Callable[..., Any]) -> Callable[..., Any]:
        def validate(*values: Any) -> Any:
            with in_language(self.lang):
                return check(*values)

        return validate


def html(text: str, **more: Any) -> gr.HTML:
    """HTML of our own, without Gradio's styles for prose and without its scripts."""
    return gr.HTML(text, js_on_load=None, apply_default_css=False, **more)


def fragment(path: str, triggers: str, classes: str = "", keeps: str = "") -> gr.HTML:
    """A part of the page that comes from `path`, and comes anew at each of the triggers.

    triggers: names of what changed, such as "runs documents" (see routes/pulse.py). keeps: the
    name of a field inside it that says what is shown; it is asked for with it again.
    """
    when = ", ".join(["load", *(f"ca:{name} from:body" for name in triggers.split())])
    about = f'hx-get="{path}" hx-trigger="{when}" hx-swap="morph:innerHTML"'
    if "ca-card-of-run" in classes:
        about += ' hx-ext="morph"'  # what is open in it, and has the focus, stays
    if keeps:
        about += f' hx-include="this" hx-params="{keeps}" hx-disinherit="*"'
    return html(f'<div class="{classes}" {about}></div>')


def _project(request: gr.Request) -> Project:
    return projects.find(request.query_params.get("project", ""))


def _values(found: Any, n_outputs: int) -> list[Any]:
    """What a handler gave, as one value per output."""
    if not n_outputs:
        return []
    values = list(found) if isinstance(found, list | tuple) else [found]
    if len(values) != n_outputs:
        raise ValueError(f"{len(values)} values for {n_outputs} outputs")
    return values


def _each(values: list[Any]) -> Any:
    # Gradio takes a tuple for several outputs, and the bare value for one.
    return tuple(values) if len(values) != 1 else values[0]
