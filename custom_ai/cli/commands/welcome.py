"""No command at all: a friendly page that says what can be done."""

import argparse

from custom_ai import __version__, hardware
from custom_ai.cli.outcome import Outcome, table
from custom_ai.projects import project as projects
from custom_ai.settings import home
from custom_ai.texts import as_typed_here, t

# The chain, as somebody would type it the first time.
_CHAIN = (
    ("demo", "custom-ai demo"),
    ("create", "custom-ai project create {name}"),
    ("add", "custom-ai documents add {name} {folder}"),
    ("generate", "custom-ai samples generate {name} --count 100"),
    ("train", "custom-ai train {name}"),
    ("export", "custom-ai export {name} --format gguf"),
    ("chat", "custom-ai chat {name}"),
    ("doctor", "custom-ai doctor"),
)


def show(args: argparse.Namespace) -> Outcome:
    """The page: what this is, the chain, the projects there are, warnings about the machine."""
    names = {"name": t("cli.example_project"), "folder": t("cli.example_folder")}
    rows = []
    for key, line in _CHAIN:
        for name, value in names.items():
            line = line.replace(f"{{{name}}}", value)
        rows.append((f"  {as_typed_here(line)}", t(f"cli.welcome_{key}")))
    known = [project.slug for project in projects.find_all()]
    machine = hardware.detect(home())
    parts = [
        f"custom-ai {__version__} – {t('cli.description')}",
        t("cli.welcome"),
        table(rows),
        t("cli.welcome_projects", projects=", ".join(known)) if known else "",
        "\n".join(f"! {w.message} {w.advice}" for w in machine.warnings),
    ]
    data = {"version": __version__, "projects": known, "commands": [row[0].strip() for row in rows]}
    return Outcome(data, "\n\n".join(part for part in parts if part))
