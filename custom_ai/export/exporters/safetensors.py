"""The merged model as a folder that transformers and most training programs load."""

from pathlib import Path

from custom_ai import files
from custom_ai.export.acceptance_folder import accept_folder
from custom_ai.export.exporter import (
    ExportOptions,
    Source,
    parameters,
    require_space,
    write_card,
)
from custom_ai.export.merge import Precision, base_precision, check_base, merge
from custom_ai.step import Step

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


class SafetensorsOptions(ExportOptions):
    """How precisely the weights are kept."""

    precision: Precision = "auto"


class SafetensorsExporter:
    """Merge, reload, compare."""

    name = "safetensors"
    options = SafetensorsOptions

    def unavailable(self) -> str | None:
        """Everything it needs is part of the product."""
        return None

    def export(self, source: Source, target: Path, options: SafetensorsOptions, step: Step) -> Path:
        """Make `target` with the merged model; see `Exporter`."""
        check_base(source.base_path)
        precision = options.precision
        name = base_precision(source.base_path) if precision == "auto" else precision
        with files.complete_folder(target) as folder:
            require_space(folder, parameters(source.base_path) * _BYTES[name])
            # complete_folder syncs and renames; the merge fills a folder of its own inside it.
            merge(source.base_path, source.adapter, folder / "model", step, precision)
            for file in (folder / "model").iterdir():
                file.rename(folder / file.name)
            (folder / "model").rmdir()
            step.log("export.checking")
            accept_folder(folder, source.base_path, source.adapter, name, step).save(folder)
            write_card(folder, source, "model.safetensors")
        return target


exporter = SafetensorsExporter()
