"""`samples import | export`: samples from the files of others, and samples for other programs."""

import argparse
from pathlib import Path

from custom_ai.cli.arguments import Parsers, add_project, command
from custom_ai.cli.outcome import Outcome
from custom_ai.datasets.formats import FORMATS, export_samples
from custom_ai.datasets.imports import import_samples
from custom_ai.datasets.plan import SPLITS
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from custom_ai.texts import t


def register(samples: Parsers) -> None:
    """Add the commands to the group `samples`."""
    take = command(samples, "samples import", _import)
    add_project(take)
    take.add_argument("file", type=Path, metavar="FILE", help=t("cli.sample_file"))
    out = command(samples, "samples export", _export)
    add_project(out)
    out.add_argument("file", type=Path, metavar="FILE", help=t("cli.sample_target"))
    out.add_argument("--format", choices=FORMATS, default="jsonl", help=t("cli.sample_format"))
    out.add_argument("--split", choices=SPLITS, action="append", help=t("cli.list_split"))
    out.add_argument("--dataset", default="", metavar="NAME", help=t("cli.list_dataset"))


def _import(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    with writing(project, "samples import"):
        done = import_samples(project, args.file.expanduser().absolute())
    lines = [t("cli.imported", added=done.added, unchanged=done.unchanged)]
    if done.quarantined:
        lines.append(t("cli.imported_quarantined", count=done.quarantined, project=project.slug))
    if done.shortened:
        lines.append(t("cli.imported_shortened", count=done.shortened))
    return Outcome(vars(done), "\n".join(lines))


def _export(args: argparse.Namespace) -> Outcome:
    path = args.file.expanduser().absolute()
    project = projects.find(args.project)
    count = export_samples(project, path, args.format, args.split or SPLITS, args.dataset)
    card = path.with_name(f"{path.name}.card.md")
    return Outcome(
        {"path": str(path), "count": count, "card": str(card.with_suffix(".json"))},
        t("cli.exported_samples", path=path, count=count, card=card),
    )
