"""`providers models | test | login`: the models that can write samples, and the way to them."""

import argparse
import getpass
import sys
import webbrowser
from decimal import Decimal
from typing import Any

import anyio

from custom_ai.cli.arguments import Parsers, add_options, command, given, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.datasets.estimate import Estimate, provider_options
from custom_ai.datasets.generate_options import GenerateOptions
from custom_ai.datasets.trial import Trial, try_out
from custom_ai.providers import provider as providers
from custom_ai.providers.openrouter_login import Callback, Login
from custom_ai.providers.provider import Account, ModelInfo
from custom_ai.texts import t

_MILLION = 1_000_000
# Options of a generation that say nothing about whom to ask.
_NOT_HERE = tuple(GenerateOptions.model_fields.keys() - {"model", "base_url"})


def register(parsers: Parsers) -> None:
    """Add the commands."""
    commands = group(parsers, "providers")
    models = command(commands, "providers models", _models)
    models.add_argument("name", choices=providers.names(), metavar="NAME", help=t("cli.provider"))
    models.add_argument("--search", default="", metavar="TEXT", help=t("cli.models_search"))
    models.add_argument("--free", action="store_true", help=t("cli.models_free"))
    add_options(models, GenerateOptions, skip=tuple({*_NOT_HERE, "model"}))
    test = command(commands, "providers test", _test)
    test.add_argument("name", choices=providers.names(), metavar="NAME", help=t("cli.provider"))
    add_options(test, GenerateOptions, skip=_NOT_HERE)
    test.add_argument("--free", action="store_true", help=t("cli.test_free"))
    login = command(commands, "providers login", _login)
    login.add_argument("--paste", action="store_true", help=t("cli.login_paste"))


def _models(args: argparse.Namespace) -> Outcome:
    provider = providers.find(args.name)
    options = provider_options(provider, GenerateOptions.parse(given(args, GenerateOptions)))
    found = [
        model
        for model in anyio.run(provider.models, options)
        if args.search.casefold() in f"{model.name} {model.title}".casefold()
        and (model.free or not args.free)
    ]
    header = [t(f"cli.models_{name}") for name in ("name", "context", "read", "written")]
    rows = [_row(model) for model in found]
    text = table(rows, header) if rows else t("cli.no_models")
    return Outcome([_as_json(model) for model in found], text)


def _row(model: ModelInfo) -> tuple[object, ...]:
    notes = [t("cli.models_no_schemas")] if model.schemas is False else []
    notes += [t("cli.models_expires", date=model.expires)] if model.expires else []
    price = model.price
    name = f"{model.name} ({', '.join(notes)})" if notes else model.name
    return (
        name,
        model.context or "",
        "" if price is None else dollars(price.prompt * _MILLION),
        "" if price is None else dollars(price.completion * _MILLION),
    )


def _as_json(model: ModelInfo) -> dict[str, Any]:
    price = model.price
    return {
        "name": model.name, "title": model.title, "context": model.context,
        "prompt_price": None if price is None else f"{price.prompt:f}",
        "completion_price": None if price is None else f"{price.completion:f}",
        "schemas": model.schemas, "size": model.size, "expires": model.expires,
    }  # fmt: skip


def _test(args: argparse.Namespace) -> Outcome:
    trial = try_out(args.name, GenerateOptions.parse(given(args, GenerateOptions)), not args.free)
    lines = account_lines(trial.account)
    if not args.free:
        seconds, cost = f"{trial.seconds:.1f}", dollars(trial.cost)
        lines.append(t("cli.tested", model=trial.model, seconds=seconds, cost=cost))
    return Outcome(_trial_json(trial), "\n".join([t("cli.reached"), *lines]))


def _trial_json(trial: Trial) -> dict[str, Any]:
    account = trial.account
    return {
        "model": trial.model, "pairs": trial.pairs, "seconds": round(trial.seconds, 2),
        "cost": f"{trial.cost:f}", "label": account.label,
        "credit": None if account.credit is None else f"{account.credit:f}",
        "free_left": account.free_left, "free_limit": account.free_limit,
    }  # fmt: skip


def account_lines(account: Account) -> list[str]:
    """What the provider says about the account, for people."""
    lines = []
    if account.credit is not None:
        lines.append(t("cli.account_credit", credit=dollars(account.credit)))
    if account.free_left is not None:
        lines.append(t("cli.account_free", left=account.free_left, limit=account.free_limit or "?"))
    elif account.free_limit is not None:
        lines.append(t("cli.account_free_limit", limit=account.free_limit))
    return lines


def estimate_lines(found: Estimate, head: str = "cli.estimate_requests") -> list[str]:
    """What a generation will take, for people. head: the text that says how many requests."""
    least, most = found.requests
    lines = [t(head, missing=found.missing, least=least, most=most)]
    if found.cost is None:
        lines.append(t("cli.estimate_no_price"))
    elif found.cost[1]:
        low, high = (dollars(amount) for amount in found.cost)
        lines.append(t("cli.estimate_cost", low=low, high=high))
    lines += account_lines(found.account) if found.account else []
    if found.too_many_for_today:
        lines.append(t("cli.estimate_too_many"))
    return lines


def dollars(amount: Decimal) -> str:
    """An amount in US dollars, with the digits that mean something."""
    if amount >= 1:
        return f"{amount:.2f}"
    return f"{amount:.4f}".rstrip("0").rstrip(".") if amount else "0"


def _login(args: argparse.Namespace) -> Outcome:
    """The key is never printed: it goes from OpenRouter to the place where keys are kept."""
    login = Login()
    if args.paste:
        print(t("cli.login_open", address=login.address()), file=sys.stderr)
        there = sys.stdin.isatty()
        code = getpass.getpass(t("cli.login_code") + " ") if there else sys.stdin.readline()
        place = login.finish(code)
    else:
        with Callback(login) as callback:
            address = login.address(callback.url)
            print(t("cli.login_open", address=address), file=sys.stderr)
            if not webbrowser.open(address):
                print(t("cli.login_no_browser"), file=sys.stderr)
            place = login.finish(callback.wait())
    return Outcome({"kept_in": place}, t("cli.logged_in", place=t(f"cli.kept_in_{place}")))
