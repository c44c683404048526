"""The commands, in the order of the chain; each module registers its own."""

from custom_ai.cli.commands import (
    chat,
    demo,
    doctor,
    documents,
    engine,
    evaluate,
    export,
    model,
    project,
    providers,
    runs,
    samples,
    settings,
    train,
    ui,
    worker,
)

COMMANDS = (
    ui,
    demo,
    doctor,
    project,
    documents,
    model,
    providers,
    samples,
    train,
    export,
    chat,
    evaluate,
    runs,
    engine,
    settings,
    worker,
)
