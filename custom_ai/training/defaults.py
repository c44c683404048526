"""What a person set once for all trainings; it goes before what we recommend."""

from typing import Any

from custom_ai import settings
from custom_ai.errors import UserError
from custom_ai.training.config import TrainingOptions


def change(field: str, value: Any) -> dict[str, Any]:
    """Set the default of one option and return all that are set; None takes it back.

    Raises UserError for an unknown option and for a value that doesn't fit.
    """
    if field not in TrainingOptions.model_fields:
        known = ", ".join(TrainingOptions.model_fields)
        raise UserError("training.unknown_option", option=field, known=known)
    chosen = {k: v for k, v in settings.load().training.items() if k != field}
    if value is not None:
        # As the option's own type, however it was typed.
        chosen[field] = getattr(TrainingOptions.parse({field: value}), field)
    settings.change("training", chosen)
    return chosen
