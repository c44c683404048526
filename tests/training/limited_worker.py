"""A training in a process whose address space is limited: usage: ... MODEL FOLDER MEGABYTES

The limit is set when the first step begins, so many megabytes above what is taken then. Prints the
result and what was said, as JSON.
"""

import json
import resource
import sys
from pathlib import Path

from custom_ai.models.catalogue import resolve
from custom_ai.step import Event, Step
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import TrainingSample
from custom_ai.training.engine import Job, train
from tests.tiny_models import facts


def main(model: str, folder: Path, megabytes: int) -> None:
    rows = [
        TrainingSample("Where? " * 110, row["output"] * 15, line)
        for line, row in enumerate(facts(16), start=1)
    ]
    options = TrainingOptions.parse({"epochs": 1, "batch_size": 16, "lora_rank": 64, "threads": 1})
    codes: list[str] = []

    def report(event: Event) -> None:
        codes.append(str(event.get("code", event["kind"])))
        if codes.count("training.begins") == 1 and codes[-1] == "training.begins":
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + megabytes * 1_000_000
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

    job = Job(resolve(model), rows, [], options, folder)
    result = train(job, Step(folder, report, lambda: None))
    print(json.dumps({"result": result.as_json(), "codes": codes}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
