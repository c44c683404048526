"""What libraries read from the environment: ours alone, set before they are imported."""

import logging
import logging.handlers
import os
import re
from collections.abc import MutableMapping
from pathlib import Path

from custom_ai.secrets import Secret, redact
from custom_ai.settings import home

# Some of these variables would open the app to the network, to other folders, or run code that is
# sent to it; others make Gradio believe it is a hosted demo. None of them is meant for us.
_FOREIGN = re.compile(r"(GRADIO|SPACES?|OAUTH|OPENID|KAGGLE)_|SYSTEM$")

_LOG_BYTES = 1_000_000
_LOGS_KEPT = 3


def prepare(variables: MutableMapping[str, str] = os.environ) -> None:
    """No telemetry, no switches from outside, temporary files in our own folder."""
    for name in [name for name in variables if _FOREIGN.match(name)]:
        del variables[name]
    uploads = home() / "cache" / "uploads"
    uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
    variables.update(
        {
            "GRADIO_ANALYTICS_ENABLED": "False",  # exactly this word, says Gradio
            # It would make statistics of all events at every event, with pandas.
            "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
            "GRADIO_ANALYTICS_MAX_EVENTS": "1",
            "GRADIO_RUN_HISTORY": "False",  # it would keep every input in the browser
            "GRADIO_TEMP_DIR": str(uploads),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
    )


def write_log(*unspeakable: str) -> Path:
    """Everything libraries and we report goes to a file of limited size; returns the file.

    unspeakable: what must not stand in it, such as the launch token.
    """
    path = home() / "logs" / "app.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT, encoding="utf-8"
    )
    handler.setFormatter(_Discreet([Secret(text) for text in unspeakable]))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("custom_ai", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)
    return path


class _Discreet(logging.Formatter):
    """Lines without keys and tokens, also inside tracebacks."""

    def __init__(self, unspeakable: list[Secret]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._unspeakable = unspeakable

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), *self._unspeakable)
