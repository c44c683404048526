"""One GGUF file, for Ollama, llama.cpp, LM Studio and whatever else runs on it."""

import importlib.util
import shutil
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
from custom_ai.export.gguf import writer
from custom_ai.export.gguf.quantize import Quantization, quantize
from custom_ai.export.merge import check_base, merge
from custom_ai.providers import local
from custom_ai.step import Step
from custom_ai.texts import t

# Bytes a weight: the merged model and the F16 file, then the result (Q4_K_M with its larger
# embedding in small models; F16 is moved and needs no more room).
_ON_THE_WAY = 4.0
_RESULT = {"f16": 0.0, "q8_0": 1.1, "q4_k_m": 0.85}


class GgufOptions(ExportOptions):
    """How small the file is to be."""

    quantization: Quantization = "q4_k_m"


class GgufExporter:
    """Merge, write F16, quantise, question."""

    name = "gguf"
    options = GgufOptions

    def unavailable(self) -> str | None:
        """Why it can't be used on this machine, in the user's words; None if it can."""
        if importlib.util.find_spec("gguf") is None:
            return t("export.gguf_missing")
        return local.unavailable()

    def export(self, source: Source, target: Path, options: GgufOptions, step: Step) -> Path:
        """Make `target` with `<name>-<quantization>.gguf`; see `Exporter`."""
        if reason := self.unavailable():
            raise UserError("export.unavailable", format=self.name, reason=reason)
        check_base(source.base_path)
        with work_folder(source, step) as work:
            merged, exact = work / "merged", work / "f16.gguf"
            if not exact.exists():
                needed = _ON_THE_WAY + _RESULT[options.quantization]
                require_space(step.folder, parameters(source.base_path) * needed)
            if not merged.exists():
                # F16 holds what a GGUF keeps; bfloat16 would round the adapter's changes away.
                merge(source.base_path, source.adapter, merged, step, "float16")
            if not exact.exists():
                step.log("export.writing")
                writer.write(merged, exact, "f16", source.name, source.base, step)
            with files.complete_folder(target) as folder:
                artefact = folder / f"{source.name}-{options.quantization}.gguf"
                _finish(source, options, (merged, exact, artefact), step)
        return target / artefact.name


def _finish(
    source: Source, options: GgufOptions, paths: tuple[Path, Path, Path], step: Step
) -> None:
    merged, exact, artefact = paths
    unquantised: Path | None = exact
    if options.quantization == "f16":
        shutil.move(exact, artefact)
        unquantised = None
    else:
        step.log("export.quantizing", quantization=options.quantization.upper())
        quantize(exact, artefact, options.quantization, step)
    step.log("export.checking")
    acceptance = accept(artefact, merged, source.questions, step, unquantised)
    acceptance.save(artefact.parent)
    write_card(artefact.parent, source, artefact.name)


exporter = GgufExporter()
