"""The end of the help: what can be typed, for somebody who sees it the first time."""

from custom_ai.cli.outcome import table
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


def first_steps() -> str:
    """What can be typed, in the order somebody would do it."""
    names = {"name": t("cli.example_project"), "folder": t("cli.example_folder")}
    rows = []
    for key, line in _CHAIN:
        for name, value in names.items():
            line = line.replace(f"{{{name}}}", value)
        rows.append((f"  {as_typed_here(line)}", t(f"cli.welcome_{key}")))
    return f"{t('cli.welcome')}\n\n{table(rows)}"
