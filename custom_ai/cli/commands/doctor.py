"""`doctor`: what this machine can do, what is missing, and how to get it."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from custom_ai import __version__, hardware
from custom_ai.cli.arguments import Parsers, command
from custom_ai.cli.outcome import Outcome, table
from custom_ai.documents import ocr
from custom_ai.documents import reader as readers
from custom_ai.export import exporter as exporters
from custom_ai.hardware import GIB
from custom_ai.providers import provider as providers
from custom_ai.settings import home
from custom_ai.texts import t
from custom_ai.training import engine as engines


class _Part(Protocol):
    def unavailable(self) -> str | None: ...


class _Kind(Protocol):
    """The module that finds readers, providers, engines or exporters by name."""

    def names(self) -> Sequence[str]: ...

    def find(self, name: str) -> _Part: ...


def register(parsers: Parsers) -> None:
    """Add the command."""
    command(parsers, "doctor", _doctor)


def _doctor(args: argparse.Namespace) -> Outcome:
    machine = hardware.detect(home())
    parts = {
        "readers": _look(readers),
        "providers": _look(providers),
        "engines": _look(engines),
        "exporters": _look(exporters),
    }
    tesseract = ocr.find()
    missing = [
        {"kind": kind, "name": part["name"], "reason": part["unavailable"]}
        for kind, found in parts.items()
        for part in found
        if not part["available"]
    ]
    if tesseract is None:
        missing.append({"kind": "ocr", "name": "tesseract", "reason": t("hardware.ocr_missing")})
    data = {
        "version": __version__,
        "home": str(home()),
        "hardware": machine.as_json(),
        "memory": {"total": machine.ram, "free": machine.ram_free, "limit": machine.ram_limit},
        "disk": {"free": machine.disk_free},
        **parts,
        "ocr": asdict(tesseract) if tesseract else None,
        "missing": missing,
    }
    return Outcome(data, _as_text(machine, parts, tesseract))


def _look(kind: _Kind) -> list[dict[str, Any]]:
    found = []
    for name in kind.names():
        reason = kind.find(name).unavailable()
        found.append({"name": name, "available": reason is None, "unavailable": reason})
    return found


def _as_text(
    machine: hardware.Hardware,
    parts: dict[str, list[dict[str, Any]]],
    tesseract: ocr.Tesseract | None,
) -> str:
    device = machine.device
    memory = f", {device.memory / GIB:.0f} GB" if device.memory else ""
    rows: list[tuple[str, str]] = [
        (t("hardware.system"), machine.system),
        (t("hardware.device"), f"{device.kind.upper()} – {device.name}{memory}"),
        ("", device.reason),
        (t("hardware.cores"), str(machine.cores)),
        (t("hardware.ram"), f"{machine.ram / GIB:.0f} GB ({_free(machine.ram_free)})"),
        *_limit(machine),
        (t("hardware.disk"), f"{_free(machine.disk_free)} – {home()}"),
        ("PyTorch", machine.torch or t("hardware.missing")),
    ]
    for kind, found in parts.items():
        for number, part in enumerate(found):
            state = "✓" if part["available"] else f"✗ {part['unavailable']}"
            rows.append((t(f"hardware.{kind}") if number == 0 else "", f"{part['name']} {state}"))
    state = f"✓ {tesseract.languages}" if tesseract else f"✗ {t('hardware.ocr_missing')}"
    rows.append((t("hardware.ocr"), f"Tesseract {state}"))
    warnings = [f"! {w.message}\n  → {w.advice}" for w in machine.warnings]
    return "\n\n".join([table(rows), *warnings])


def _limit(machine: hardware.Hardware) -> list[tuple[str, str]]:
    limit = machine.ram_limit
    return [("", t("hardware.ram_limit", limit=limit // 10**9))] if limit else []


def _free(size: int) -> str:
    return t("hardware.free", size=f"{size / GIB:.0f} GB")
