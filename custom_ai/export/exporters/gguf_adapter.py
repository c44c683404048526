"""The adapter alone as one small GGUF file, for Ollama and llama.cpp with the base model beside."""

from pathlib import Path

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export.acceptance import accept
from custom_ai.export.exporter import (
    ExportOptions,
    Source,
    parameters,
    require_space,
    work_folder,
    write_card,
)
from custom_ai.export.exporters import gguf
from custom_ai.export.gguf import adapter, writer
from custom_ai.export.merge import check_base, merge
from custom_ai.export.weights import base_folder
from custom_ai.step import Step
from custom_ai.texts import t

# Bytes a weight: the merged model, the base model, and its F16 file, all only for the test.
_ON_THE_WAY = 6.0


class GgufAdapterExporter:
    """Write the adapter, and see that the base model with it is the trained one."""

    name = "gguf_adapter"
    options = ExportOptions

    def unavailable(self) -> str | None:
        """Why it can't be used on this machine, in the user's words; None if it can."""
        return gguf.exporter.unavailable()

    def export(self, source: Source, target: Path, options: ExportOptions, step: Step) -> Path:
        """Make `target` with `<name>-adapter.gguf`; see `Exporter`."""
        if reason := self.unavailable():
            raise UserError("export.unavailable", format=self.name, reason=reason)
        check_base(source.base_path)
        if source.adapter is None or not (source.adapter / "adapter_config.json").exists():
            raise UserError("export.no_adapter", path=source.adapter or "–")
        adapter.check(files.read_json(source.adapter / "adapter_config.json"))
        with work_folder(source, step, "adapter") as work:
            base = _base(source, work, step)
            if not (work / "merged").exists():
                merge(source.base_path, source.adapter, work / "merged", step, "float16")
            with files.complete_folder(target) as folder:
                file = folder / f"{source.name}-adapter.gguf"
                step.log("export.writing")
                base_model = base_folder(source.base_path)
                adapter.write(source.adapter, base_model, file, source.name, source.base, step)
                step.log("export.checking")
                accept(base, work / "merged", source.questions, step, adapter=file).save(folder)
                write_card(folder, source, file.name)
                hint = t("export.adapter_use", file=file.name, base=source.base)
                files.write_text(folder / "Modelfile", hint + f"\nADAPTER ./{file.name}\n")
        return target / file.name


def _base(source: Source, work: Path, step: Step) -> Path:
    """The base model as F16, only to be tested with the adapter."""
    exact = work / "base.gguf"
    if not exact.exists():
        require_space(step.folder, parameters(source.base_path) * _ON_THE_WAY)
        if not (work / "base").exists():
            merge(source.base_path, None, work / "base", step, "float16")
        writer.write(work / "base", exact, "f16", source.base, source.base, step)
    return exact


exporter = GgufAdapterExporter()
