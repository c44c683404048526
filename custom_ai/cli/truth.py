"""`samples check | coverage | doubles | leaks`: are the samples true, new, and about everything?"""

import argparse
from collections import Counter
from typing import Any, get_args

from custom_ai.cli.arguments import Parsers, add_options, add_project, command, given
from custom_ai.cli.outcome import Outcome, table
from custom_ai.datasets import alike
from custom_ai.datasets.collection import Judged, collect
from custom_ai.datasets.coverage import coverage
from custom_ai.datasets.derive import write_samples
from custom_ai.datasets.leakage import leakage
from custom_ai.datasets.opinions import CHECK
from custom_ai.datasets.rules import Rules, change_rules
from custom_ai.datasets.sample import Status
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from custom_ai.texts import t

_STATUSES: tuple[Status, ...] = get_args(Status)
_SHOWN = 20


def register(samples: Parsers) -> None:
    """Add the commands to the group `samples`."""
    check = command(samples, "samples check", _check)
    add_project(check)
    add_options(check, Rules)
    for name, call in (("coverage", _coverage), ("doubles", _doubles), ("leaks", _leaks)):
        add_project(command(samples, f"samples {name}", call))


def reasons(judged: Judged) -> str:
    """What the checks and people said of a sample."""
    sample = judged.sample
    by_hand = [t("cli.by_hand")] if sample.decided else []
    edited = [t("cli.edited")] if sample.edited else []
    found = [f"{name}: {found}" for name, found in sample.checks.items()]
    return ", ".join([*by_hand, *edited, *found, *_opinion(judged)])


def _opinion(judged: Judged) -> list[str]:
    """What a judge said, where its objection does not stand among the checks already."""
    said = judged.opinion
    if said is None or CHECK in judged.sample.checks:
        return []
    scores = "/".join(map(str, said.scores))
    return [
        t("cli.opinion_stale" if said.stale else "cli.opinion", model=said.model, scores=scores)
    ]


def _check(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    with writing(project, "samples check"):
        if strict := given(args, Rules):
            change_rules(project, **strict)
        collection = collect(project)
        write_samples(project, collection)
    counts = Counter(judged.status for judged in collection.samples)
    failed = [judged for judged in collection.samples if judged.status != "accepted"]
    rows = [(each.status, each.sample.instruction, reasons(each)) for each in failed[:_SHOWN]]
    data: dict[str, Any] = {status: counts[status] for status in _STATUSES}
    text = "\n".join([t("cli.checked", **data), table(rows)]).strip()
    objections = Counter(_first_objection(each) for each in failed)
    return Outcome(
        {**data, "reasons": dict(objections), "rules": collection.rules.model_dump()}, text
    )


def _first_objection(judged: Judged) -> str:
    passed = {("quote", "exact"), ("quote", "close"), ("numbers", "found")}
    found = (name for name, said in judged.sample.checks.items() if (name, said) not in passed)
    return "by hand" if judged.sample.decided else next(found, "")


def _coverage(args: argparse.Namespace) -> Outcome:
    found = coverage(projects.find(args.project))
    empty = [
        (chapter.filename, " › ".join(chapter.heading_path) or "–", str(chapter.chunks))
        for chapter in found.empty
    ]
    lines = [
        t(
            "cli.covered",
            share=f"{found.share:.0%}",
            chapters=len(found.chapters),
            empty=len(found.empty),
        )
    ]
    lines += [table(empty[:_SHOWN])] if empty else []
    if found.orders:
        lines += [t("cli.orders_found", count=len(found.orders))]
        lines += [
            f"  {order.filename}{_page(order.page)}: {order.suspicion.words}"
            for order in found.orders[:_SHOWN]
        ]
    data = {
        "share": found.share,
        "chapters": [vars(chapter) for chapter in found.chapters],
        "orders": [
            {"filename": o.filename, "page": o.page, **vars(o.suspicion)} for o in found.orders
        ],
    }
    return Outcome(data, "\n".join(lines))


def _page(page: int | None) -> str:
    return "" if page is None else f", {t('cli.page', page=page)}"


def _doubles(args: argparse.Namespace) -> Outcome:
    found = alike.groups(collect(projects.find(args.project)).samples)
    data, lines = [], []
    for members in {id(group): group for group in found.values()}.values():
        data.append(
            [
                {
                    "id": each.sample.id,
                    "found": each.sample.checks.get("double", ""),
                    "status": each.status,
                    "split": each.sample.split,
                    "instruction": each.sample.instruction,
                }
                for each in members
            ]
        )
        rows = [
            (each.sample.id, each.sample.checks.get("double", ""), each.sample.instruction)
            for each in members
        ]
        lines.append(table(rows))
    return Outcome(data, "\n\n".join(lines) or t("cli.no_doubles"))


def _leaks(args: argparse.Namespace) -> Outcome:
    found = leakage(collect(projects.find(args.project)).of("accepted"))
    lines = [t("cli.leaks", held_out=found.held_out, train=found.train, leaks=len(found.leaks))]
    rows = [
        (
            leak.held_out.id,
            t(f"datasets.card.split_{leak.held_out.split}"),
            f"{leak.share:.0%}",
            leak.train.id,
            leak.held_out.instruction,
        )
        for leak in found.leaks[:_SHOWN]
    ]
    lines += [table(rows), t("cli.leaks_hint")] if rows else []
    return Outcome(found.as_json(), "\n".join(lines))
