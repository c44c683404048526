"""Writes THIRD_PARTY.md: the libraries custom-ai runs on, and their licences.

python -m scripts.third_party [--check]

Read from what is installed. Versions are left out on purpose: the list changes only when a library
comes or changes its licence. With --check nothing is written; a library that is missing from the
list, or stands there with another licence, is a failure. One that is listed but not installed is
not: libraries differ between systems.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LIST = ROOT / "THIRD_PARTY.md"

# Libraries that only systems other than the one that makes the list install; HEAD speaks of them.
ELSEWHERE = re.compile(r"nvidia-|cuda-|triton|intel-|mkl$|tbb$|colorama$|pywin32|mlx")

# LGPL is allowed only for what is used as an exchangeable library, each with the reason here.
LGPL_ALLOWED: dict[str, str] = {}

# Licences of libraries whose metadata tells none, read from the text in the package.
KNOWN: dict[str, str] = {}

# The same licence under its older names.
SHORT = {
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

HEAD = """# Libraries of others

custom-ai runs on the libraries below. Each belongs to its authors and keeps its own licence; the
full texts lie in the installed packages (in `.venv`, each library's `*.dist-info` folder).

- MPL-2.0: these libraries are used as they are. Their files are unchanged, and their source is at
  the address given.
- Some packages carry runtime libraries of the GNU compilers (libgomp, libgfortran, libquadmath).
  They are loaded as separate files and used under the GCC Runtime Library Exception or the LGPL.
- Linux with an NVIDIA graphics card also gets triton (MIT) and NVIDIA's CUDA libraries, from NVIDIA
  under its own terms. Windows also gets colorama and pywin32-ctypes (both BSD-3-Clause).
- Apple computers also get mlx and mlx-lm (both MIT), with sentencepiece (Apache-2.0) and protobuf
  (BSD-3-Clause).
- Unsloth is no library of custom-ai: whoever wants it installs it apart, under its own licence, of
  which custom-ai tells before (docs/decisions/0027-unsloth-apart.md).
- The extra `window` adds pywebview (BSD-3-Clause) with bottle and proxy_tools (both MIT), and
  pythonnet on Windows, PyObjC on macOS (both MIT). It shows the web view of the system, no Qt.
- The extra `postgresql` adds pg8000 (BSD-3-Clause) with scramp (MIT-0), asn1crypto (MIT) and
  python-dateutil (Apache-2.0 or BSD-3-Clause).
- The PDF of the sample project holds subsets of the fonts DejaVu Sans and DejaVu Sans Bold
  (Bitstream Vera licence, free to use and to embed; see scripts/sample/FONT.md).

Made by `python -m scripts.third_party` from what is installed.

| Library | Licence | Home |
| --- | --- | --- |
"""


@dataclass(frozen=True)
class Library:
    """One installed library as its own metadata describes it."""

    name: str
    licence: str
    home: str


Find = Callable[[str], metadata.Distribution]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(wanted: Iterable[str], find: Find = metadata.distribution) -> list[Library]:
    """The libraries behind these requirements and all that they need in turn, by name."""
    found: dict[str, Library] = {}
    waiting = [Requirement(text) for text in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        need = waiting.pop()
        key = (plain(need.name), frozenset(need.extras))
        if key in seen or ELSEWHERE.match(key[0]):
            continue
        seen.add(key)
        installed = find(need.name)
        found[key[0]] = Library(key[0], licence(installed), home(installed))
        for text in installed.requires or []:
            further = Requirement(text)
            extras = need.extras or {""}
            if not further.marker or any(further.marker.evaluate({"extra": x}) for x in extras):
                waiting.append(further)
    return [found[name] for name in sorted(found)]


def licence(installed: metadata.Distribution) -> str:
    """In short: the SPDX expression, else the classifiers, else the first line of the old field."""
    for expression in values(installed, "License-Expression"):
        return expression
    signs = [line for line in values(installed, "Classifier") if line.startswith("License ::")]
    told = [line.rpartition(" :: ")[2] for line in signs if not line.endswith("OSI Approved")]
    told = told or "".join(values(installed, "License")).strip().splitlines()[:1]
    known = KNOWN.get(plain(installed.name), "unknown")
    return " / ".join(SHORT.get(name, name) for name in told) or known


def home(installed: metadata.Distribution) -> str:
    pairs = [entry.split(", ", 1) for entry in values(installed, "Project-URL")]
    links = {label.lower().replace("-", ""): link for label, link in pairs}
    for label in ("homepage", "source", "source code", "code", "repository", "github"):
        if label in links:
            return links[label]
    pages = [*values(installed, "Home-page"), f"https://pypi.org/project/{plain(installed.name)}/"]
    return pages[0]


def values(installed: metadata.Distribution, field: str) -> list[str]:
    return [str(value) for value in installed.metadata.get_all(field) or []]


def problems(libraries: Iterable[Library]) -> list[str]:
    """Licences that a closed product must not build upon, and those nobody has read yet."""
    wrong = []
    for library in libraries:
        choices = re.split(r"\s+(?:OR|or)\s+", library.licence)
        lesser = r"LGPL|Lesser General Public|Library General Public"
        if all(re.search(r"GPL|General Public", choice) for choice in choices):
            if not all(re.search(lesser, choice) for choice in choices):
                wrong.append(f"{library.name}: {library.licence} must not be part of the product")
            elif library.name not in LGPL_ALLOWED:
                wrong.append(f"{library.name}: {library.licence} needs a reason in LGPL_ALLOWED")
        if library.licence == "unknown":
            wrong.append(f"{library.name}: no licence is told; read it and add it to KNOWN")
    return wrong


def requirements() -> list[str]:
    """What pyproject.toml asks for at run time on this system; the test extra is not part of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needs = [Requirement(text) for text in project["dependencies"]]
    return [str(need) for need in needs if not need.marker or need.marker.evaluate()]


def render(libraries: Iterable[Library]) -> str:
    rows = [f"| {library.name} | {library.licence} | {library.home} |" for library in libraries]
    reasons = [f"- {name}: {reason}" for name, reason in sorted(LGPL_ALLOWED.items())]
    tail = ["", "LGPL, used as exchangeable libraries:", "", *reasons] if reasons else []
    return HEAD + "\n".join([*rows, *tail]) + "\n"


def stale(libraries: Iterable[Library], text: str) -> list[str]:
    """Installed libraries that the list does not name, or names with another licence."""
    rows = dict(re.findall(r"^\| (\S+) \| (.+?) \|", text, re.MULTILINE))
    return [library.name for library in libraries if rows.get(library.name) != library.licence]


def main(arguments: list[str]) -> int:
    libraries = closure(requirements())
    wrong = problems(libraries)
    if "--check" not in arguments:
        LIST.write_text(render(libraries), "utf-8")
    elif old := stale(libraries, LIST.read_text("utf-8") if LIST.exists() else ""):
        wrong.append(f"THIRD_PARTY.md is stale ({', '.join(old)}): python -m scripts.third_party")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
