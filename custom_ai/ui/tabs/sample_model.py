"""Training data: what the forms share that have a model write samples, or judge them."""

import time
from typing import Any

from custom_ai import secrets
from custom_ai.datasets import privacy
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers import provider as providers
from custom_ai.runs import runner
from custom_ai.runs.run import all_runs
from custom_ai.texts import known, t
from custom_ai.ui.render import render

# Cuts its questions out of the text: there is no model to choose, and nothing to ask.
WITHOUT_MODEL = "extractive"


def named(provider: str) -> str:
    """What a provider is called."""
    key = f"ui_samples.provider_{provider}"
    return t(key) if known(key) else provider


def last_options(project: Project, task: str, provider: str | None = None) -> dict[str, Any]:
    """What was asked for last, of this provider or of any; empty before the first time."""
    for run in reversed(all_runs(project)):
        if run.task == task:
            options: dict[str, Any] = run.request()["options"]
            if provider in (None, options["provider"]):
                return options
    return {}


def models_to_choose(provider: str, address: str, field: str, button: str) -> str:
    """The provider's list of models, which the page asks for itself.

    field, button: ids of the widget that gets the chosen one, and of what was clicked.
    """
    # Asked anew with each click, so each makes a difference.
    about = {"provider": provider, "address": address, "field": field, "button": button}
    return render("samples_models_place", **about, asked=time.time_ns())


def check(provider: str, model: str) -> None:
    """Raise UserError for what a run would find out only after it has started."""
    if provider != WITHOUT_MODEL and not model:
        raise UserError("ui_samples.no_model")
    if providers.find(provider).needs_key and secrets.find(provider) is None:
        raise UserError("ui_samples.no_key", provider=named(provider))


def begin(project: Project, task: str, provider: str, request: dict[str, Any]) -> str:
    """Start the run; where nobody has agreed that texts leave, return the question instead."""
    host = privacy.destination(provider, request["base_url"])
    if host and not privacy.consented(project, host):
        # Said where the button is; the run itself would refuse as well.
        return render("consent", provider=provider, host=host, agreed=None)
    runner.start(project, task, request)
    return ""
