"""The adapter alone: a few megabytes that need the base model beside them."""

import shutil
from pathlib import Path

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export.acceptance_folder import accept_adapter
from custom_ai.export.exporter import ExportOptions, Source, write_card
from custom_ai.export.merge import check_base
from custom_ai.models.chat_template import ensure_template
from custom_ai.step import Step

_WEIGHTS = "adapter_model.safetensors"


class AdapterExporter:
    """Copy, load on the base, compare."""

    name = "adapter"
    options = ExportOptions

    def unavailable(self) -> str | None:
        """Everything it needs is part of the product."""
        return None

    def export(self, source: Source, target: Path, options: ExportOptions, step: Step) -> Path:
        """Make `target` with adapter and tokenizer; see `Exporter`."""
        check_base(source.base_path)
        if source.adapter is None or not (source.adapter / _WEIGHTS).exists():
            raise UserError("export.no_adapter", path=source.adapter or "–")
        with files.complete_folder(target) as folder:
            shutil.copyfile(source.adapter / _WEIGHTS, folder / _WEIGHTS)
            config = files.read_json(source.adapter / "adapter_config.json")
            # The path on this machine is nobody else's business and leads nowhere there.
            config["base_model_name_or_path"] = source.base
            files.write_json(folder / "adapter_config.json", config)
            _copy_tokenizer(source.base_path, folder)
            step.log("export.checking")
            accept_adapter(folder, source.base_path, step).save(folder)
            write_card(folder, source, _WEIGHTS)
        return target


def _copy_tokenizer(base_path: str, folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_path, trust_remote_code=False)
    ensure_template(tokenizer, base_path)
    tokenizer.save_pretrained(folder)


exporter = AdapterExporter()
