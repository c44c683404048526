"""The rules of the house, read from the source: layers, cycles, size, names, heavy imports, calls.

Each rule is a function from a root folder to a list of complaints, so that it can be shown to
catch a planted offence in a copy.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES = 350
VAGUE_NAMES = {"utils", "util", "helpers", "manager", "service", "services", "common", "misc"}
HEAVY = {
    *("torch", "transformers", "gradio", "trl", "peft", "datasets", "accelerate", "pandas"),
    # A fifth of a second, which every command would wait for.
    "aiohttp",
}

# Files that only a worker imports, which needs the heavy library anyway. None so far.
HEAVY_ALLOWED: set[str] = set()

FORBIDDEN = {
    "shell": re.compile(r"\bshell\s*=\s*True"),
    "remote code": re.compile(r"\btrust_remote_code\s*=\s*True"),
    "pickle": re.compile(r"\b(import|from)\s+\w*pickle\b|\bpickle\.\w"),
    "eval": re.compile(r"(?<![\w.])eval\("),
    "yaml": re.compile(r"\byaml\.load\("),
    "extractall": re.compile(r"\bextractall\("),
    "unverified TLS": re.compile(r"\bverify\s*=\s*False"),
    "torch.load": re.compile(r"\btorch\.load\((?![^\n]*weights_only=True)"),
}


def modules(root: Path) -> dict[str, Path]:
    """Every module of the product by its dotted name; a package by the name of its folder."""
    found = {}
    for path in sorted((root / "custom_ai").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, node: ast.AST, known: dict[str, Path]) -> Iterator[str]:
    """What one import statement imports; `from package import module` counts as the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{name}: relative import"
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield full if full in known else str(node.module)


def at_import_time(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: nothing in functions, nothing for types."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_import_time(child)


def layer_order(root: Path) -> dict[str, int]:
    """The place of each package, from left to right, read from the docstring of the product."""
    text = ast.get_docstring(ast.parse((root / "custom_ai/__init__.py").read_text("utf-8"))) or ""
    found = re.search(r"^layers:((?:.+\n?|\n(?= ))*)", text, re.MULTILINE)
    assert found, "custom_ai/__init__.py names no layers"
    return {name: place for place, name in enumerate(found[1].replace("|", " ").split())}


def upward_imports(root: Path) -> list[str]:
    """Imports of something further right in the order, at any depth; and unknown packages."""
    known, order = modules(root), layer_order(root)
    wrong = []
    for name, path in known.items():
        floor = _floor(name)
        if floor and floor not in order:
            wrong.append(f"{name}: {floor} has no place among the layers")
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for target in imports(name, node, known):
                other = _floor(target)
                if other and floor and order.get(other, 0) > order[floor]:
                    wrong.append(f"{name} imports {target}")
    return wrong


def _floor(name: str) -> str:
    """The layer of a module: `custom_ai.models.loading` → models. Empty for the outermost ones."""
    parts = name.split(".")
    return parts[1] if parts[0] == "custom_ai" and len(parts) > 1 and parts[1] != "__main__" else ""


def import_cycle(root: Path) -> list[str]:
    """One circle of modules that import each other while they are imported, if there is one."""
    known = modules(root)
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        nodes = at_import_time(ast.parse(path.read_text("utf-8")))
        targets = {target for node in nodes for target in imports(name, node, known)}
        graph[name] = {target for target in targets if target in known and target != name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" → ".join(error.args[1])]
    return []


def long_files(root: Path) -> list[str]:
    sizes = {
        name: len(path.read_text("utf-8").splitlines()) for name, path in modules(root).items()
    }
    return [f"{name} has {size} lines" for name, size in sizes.items() if size > MOST_LINES]


def vague_names(root: Path) -> list[str]:
    return [name for name in modules(root) if VAGUE_NAMES & set(re.split(r"[._]", name))]


def heavy_imports(root: Path) -> list[str]:
    """Heavy libraries imported with the module: they cost seconds even where nobody needs them."""
    known = modules(root)
    wrong = []
    for name, path in known.items():
        if path.relative_to(root).as_posix() in HEAVY_ALLOWED:
            continue
        for node in at_import_time(ast.parse(path.read_text("utf-8"))):
            heavy = {target.partition(".")[0] for target in imports(name, node, known)} & HEAVY
            if name.startswith("custom_ai.ui."):
                # The app's page is made of it; its first page is shown before (see below).
                heavy -= {"gradio"}
            wrong += [f"{name} imports {library}" for library in sorted(heavy)]
    return wrong


def forbidden_calls(root: Path) -> list[str]:
    wrong = []
    for path in [*modules(root).values(), root / "app.py"]:
        text = path.read_text("utf-8")
        wrong += [f"{path.name}: {what}" for what, sign in FORBIDDEN.items() if sign.search(text)]
    return wrong


def undeclared_libraries(root: Path) -> list[str]:
    """Libraries the product imports but pyproject.toml does not name: luck, not a dependency."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {_plain(re.split(r"[<>=!~;\[ ]", need)[0]) for need in project["dependencies"]}
    owners = importlib.metadata.packages_distributions()
    known = modules(root)
    wrong = []
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for target in imports(name, node, known):
                library = target.partition(".")[0]
                if library in sys.stdlib_module_names or library == "custom_ai":
                    continue
                names = {_plain(owner) for owner in owners.get(library, [library])}
                if library in FOREIGN.get(path.relative_to(root).as_posix(), ()):
                    continue
                if not names & declared and library not in OPTIONAL:
                    wrong.append(f"{name} imports {library}")
    return sorted(set(wrong))


# Used where they are installed, never needed: quantised training on NVIDIA; a file for LangChain;
# a shared corpus.
OPTIONAL = {"bitsandbytes", "apsw", "sqlite_vec", "pg8000"}

# Programs for another Python environment, which the product never imports: what they find there.
FOREIGN = {"custom_ai/training/unsloth_worker.py": {"unsloth"}}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


RULES = [
    upward_imports,
    import_cycle,
    long_files,
    vague_names,
    heavy_imports,
    forbidden_calls,
    undeclared_libraries,
]


@pytest.mark.parametrize("rule", RULES)
def test_rule_holds(rule: object) -> None:
    assert callable(rule)
    assert rule(ROOT) == []


@pytest.mark.parametrize(
    ("rule", "path", "code", "complaint"),
    [
        (upward_imports, "texts/bad.py", "from custom_ai.runs import run", "texts.bad imports"),
        (upward_imports, "settings.py", "def f():\n    import custom_ai.runs", "settings imports"),
        (upward_imports, "settings.py", "from custom_ai import runs", "settings imports"),
        (upward_imports, "attic.py", "", "no place among the layers"),
        (import_cycle, "runs/bad.py", "import custom_ai.runs.worse", "runs.worse"),
        (long_files, "runs/bad.py", "x = 1\n" * 351, "has 351 lines"),
        (vague_names, "runs/run_utils.py", "", "run_utils"),
        (vague_names, "helpers/__init__.py", "", "helpers"),
        (heavy_imports, "runs/bad.py", "if True:\n    import torch.nn", "imports torch"),
        (heavy_imports, "runs/bad.py", "class A:\n    from trl import B", "imports trl"),
        (forbidden_calls, "runs/bad.py", "run('x', shell = True)", "shell"),
        (forbidden_calls, "runs/bad.py", "load(trust_remote_code=True)", "remote code"),
        (forbidden_calls, "runs/bad.py", "import pickle", "pickle"),
        (forbidden_calls, "runs/bad.py", "x = eval('1')", "eval"),
        (forbidden_calls, "runs/bad.py", "yaml.load(x)", "yaml"),
        (forbidden_calls, "runs/bad.py", "archive.extractall('x')", "extractall"),
        (forbidden_calls, "runs/bad.py", "get(url, verify=False)", "unverified TLS"),
        (forbidden_calls, "runs/bad.py", "torch.load(path)", "torch.load"),
        (undeclared_libraries, "runs/bad.py", "import scipy", "imports scipy"),
    ],
)
def test_rule_catches_a_planted_offence(
    rule: object, path: str, code: str, complaint: str, tmp_path: Path
) -> None:
    assert callable(rule)
    shutil.copytree(
        ROOT / "custom_ai", tmp_path / "custom_ai", ignore=lambda folder, names: _not_python(names)
    )
    for name in ("app.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    planted = tmp_path / "custom_ai" / path
    planted.parent.mkdir(exist_ok=True)
    earlier = planted.read_text("utf-8") if planted.exists() else ""
    planted.write_text(f"{earlier}\n{code}".lstrip("\n"), "utf-8")
    # The second half of the circle.
    (planted.parent / "worse.py").write_text("import custom_ai.runs.bad\n")
    if rule is not import_cycle:
        (planted.parent / "worse.py").unlink()
    assert any(complaint in line for line in rule(tmp_path)), rule(tmp_path)


def _not_python(names: list[str]) -> list[str]:
    return [name for name in names if "." in name and not name.endswith(".py")]


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path, weights_only=True)",
        "model.eval()",
        "literal_eval(text)",
        "# never a pickle.",
    ],
)
def test_harmless_calls_are_left_alone(code: str) -> None:
    assert not any(sign.search(code) for sign in FORBIDDEN.values())


@pytest.mark.parametrize("entry", ["custom_ai.cli", "custom_ai.ui.launch"])
def test_command_line_and_first_page_start_without_heavy_libraries(entry: str) -> None:
    program = f"import {entry}, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert HEAVY & set(json.loads(done.stdout)) == set()


def loaded_by(program: str) -> set[str]:
    prepared = f"from custom_ai.ui.environment import prepare; prepare(); {program}"
    done = subprocess.run(
        [sys.executable, "-c", f"{prepared}; import json, sys; print(json.dumps([*sys.modules]))"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


APP = "from custom_ai.ui.app import create_app; app = create_app()"


def test_how_the_work_stands_is_told_before_the_chain_is_loaded() -> None:
    loaded = loaded_by("from custom_ai.ui.app import begin; begin()")
    chain = ("documents.library", "datasets.checks", "training", "export", "evaluation")
    early = {f"custom_ai.{name}" for name in chain} & loaded
    assert "custom_ai.ui.routes.runs" in loaded
    assert early == set()


def test_open_windows_are_answered_before_anything_heavy_is_loaded() -> None:
    assert HEAVY & loaded_by(APP) == set()


def test_the_app_never_loads_what_only_a_training_needs() -> None:
    loaded = loaded_by(f"{APP}; app.state.pages.load('en')")
    assert "gradio" in loaded
    assert {"torch", "transformers", "trl", "peft", "datasets", "accelerate"} & loaded == set()


def test_allow_list_names_only_what_exists() -> None:
    assert [path for path in HEAVY_ALLOWED if not (ROOT / path).exists()] == []
