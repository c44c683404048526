"""One GGUF file, for Ollama, llama.cpp, LM Studio and whatever else runs on it."""

import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export import modelfile
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
from custom_ai.export.merge import Precision, check_base, merge
from custom_ai.export.verdict import Acceptance
from custom_ai.providers import local
from custom_ai.step import Step
from custom_ai.texts import t

# Bytes a weight. The smaller formats keep a larger embedding, which counts in small models.
_SIZE = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 1.1, "q6_k": 1.0}
_SMALL = 0.95


def _quantizations(value: str) -> str:
    unknown = [q for q in split(value) if q not in get_args(Quantization)]
    if unknown:
        known = ", ".join(get_args(Quantization))
        raise ValueError(f"{', '.join(unknown)} ∉ {known}")
    return value


def split(value: str) -> list[str]:
    """The words of a list with commas."""
    return [word.strip().lower() for word in value.split(",") if word.strip()]


class GgufOptions(ExportOptions):
    """How small the file is to be, and which others are made in the same go."""

    quantization: Quantization = "q4_k_m"
    also: Annotated[str, AfterValidator(_quantizations)] = ""

    @property
    def wanted(self) -> list[Any]:
        """All of them, the main one first, each once."""
        return list(dict.fromkeys([self.quantization, *split(self.also)]))


class GgufExporter:
    """Merge, write unquantised, quantise, question."""

    name = "gguf"
    options = GgufOptions

    def unavailable(self) -> str | None:
        """Why it can't be used on this machine, in the user's words; None if it can."""
        if importlib.util.find_spec("gguf") is None:
            return t("export.gguf_missing")
        return local.unavailable()

    def export(self, source: Source, target: Path, options: GgufOptions, step: Step) -> Path:
        """Make `target` with `<name>-<quantization>.gguf`; see `Exporter`."""
        return make(self, source, target, options.wanted, step)


def make(
    exporter: Any, source: Source, target: Path, wanted: Sequence[Quantization], step: Step
) -> Path:
    """Make `target` with a file for each quantisation; returns the first one."""
    if reason := exporter.unavailable():
        raise UserError("export.unavailable", format=exporter.name, reason=reason)
    check_base(source.base_path)
    # F16 holds what a GGUF keeps; only who asks for more gets an unquantised file that is larger.
    precision: writer.FileType = "f32" if "f32" in wanted else "f16"
    with work_folder(source, step, precision) as work:
        merged, exact = work / "merged", work / f"{precision}.gguf"
        if not exact.exists():
            room = 2 * _SIZE[precision] + sum(_SIZE.get(q, _SMALL) for q in wanted)
            require_space(step.folder, parameters(source.base_path) * room)
        if not merged.exists():
            # bfloat16 would round the adapter's changes away.
            rounded: Precision = "float32" if precision == "f32" else "float16"
            merge(source.base_path, source.adapter, merged, step, rounded)
        if not exact.exists():
            step.log("export.writing")
            writer.write(merged, exact, precision, source.name, source.base, step)
        with files.complete_folder(target) as folder:
            found = {
                quantization: _finish(source, quantization, (merged, exact, folder), step)
                for quantization in wanted
            }
            _report(folder, found)
            main = folder / _file(source, wanted[0])
            wishes = modelfile.wishes_for(main, source.base_path, licence=source.licence)
            modelfile.write(folder, main.name, wishes)
            write_card(folder, source, ", ".join(_file(source, q) for q in wanted))
    return target / _file(source, wanted[0])


def _file(source: Source, quantization: str) -> str:
    return f"{source.name}-{quantization}.gguf"


def _finish(
    source: Source, quantization: Quantization, paths: tuple[Path, Path, Path], step: Step
) -> Acceptance:
    merged, exact, folder = paths
    artefact = folder / _file(source, quantization)
    unquantised: Path | None = exact
    if exact.stem == quantization:
        _place(exact, artefact)
        unquantised = None
    else:
        step.log("export.quantizing", quantization=quantization.upper())
        quantize(exact, artefact, quantization, step)
    step.log("export.checking")
    acceptance = accept(artefact, merged, source.questions, step, unquantised, source.validation)
    acceptance.require()
    return acceptance


def _place(exact: Path, artefact: Path) -> None:
    """A second name costs no room; where a file system has none, a copy."""
    try:
        os.link(exact, artefact)
    except OSError:
        shutil.copyfile(exact, artefact)


def _report(folder: Path, found: dict[Any, Acceptance]) -> None:
    """What was found of the main file, and of the others by name."""
    main, *others = found
    report = found[main].as_json()
    if others:
        report["others"] = {name: found[name].as_json() for name in others}
    files.write_json(folder / "acceptance.json", report)


exporter = GgufExporter()
