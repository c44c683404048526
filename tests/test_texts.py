"""Every word people read exists in both languages, and every key in the code has a text."""

import ast
import re
from pathlib import Path

import pytest

import custom_ai
from custom_ai import texts
from custom_ai.texts import catalogue, packages, t, use_language

PACKAGE = Path(custom_ai.__file__).parent


def test_german_and_english_have_the_same_keys_and_the_same_placeholders() -> None:
    for package in packages():
        english, german = catalogue(package, "en"), catalogue(package, "de")
        assert english.keys() == german.keys(), package
        for key, text in english.items():
            names = set(re.findall(r"\{(\w+)\}", text))
            assert names == set(re.findall(r"\{(\w+)\}", german[key])), f"{package}.{key}"


def test_no_german_text_is_left_in_english() -> None:
    same = [
        f"{package}.{key}"
        for package in packages()
        for key, text in catalogue(package, "en").items()
        if len(text.split()) >= 4 and text == catalogue(package, "de")[key]
    ]
    assert [key for key in same if key not in ("cli.question_missing.hint",)] == []


def test_every_key_that_stands_in_the_code_has_a_text() -> None:
    missing = [f"{path.name}: {key}" for path, key in _keys_in_code() if not texts.known(key)]
    assert missing == []


def test_every_user_error_has_a_hint() -> None:
    codes = {key for _, key in _keys_in_code(("UserError", "RunFatal"))}
    assert [code for code in sorted(codes) if not texts.known(f"{code}.hint")] == []


def test_no_text_is_left_over() -> None:
    source = _source("*.py") + _source("*.html")
    literal = {key for _, key in _keys_in_code()}
    # f"runs.state_{…}" in Python, 'runs.state_' ~ … in a template.
    dynamic = tuple(re.findall(r"""f["']([a-z_]+\.[a-z_.]*)\{""", source))
    dynamic += tuple(re.findall(r"""'([a-z_]+\.[a-z_.]*)' ~""", source))
    unused = [
        f"{package}.{key}"
        for package in packages()
        for key in catalogue(package, "en")
        if not _is_used(f"{package}.{key}", literal, dynamic, source)
    ]
    assert unused == []


def test_a_value_with_braces_stays_as_it_is() -> None:
    use_language("en")
    assert "{weird}.pdf" in t("errors.disk_full", path="{weird}.pdf")


def test_commands_in_texts_are_what_people_can_type_where_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "custom-ai runs pause x" in t("projects.busy.hint", name="x")
    monkeypatch.setenv("CUSTOM_AI_PROGRAM", "python app.py")
    assert "python app.py runs pause x" in t("projects.busy.hint", name="x")


@pytest.mark.parametrize(
    ("variable", "language"), [("de_AT.UTF-8", "de"), ("C", "en"), ("fr_FR", "en")]
)
def test_the_language_follows_the_system(
    variable: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", variable)
    monkeypatch.delenv("CUSTOM_AI_LANGUAGE", raising=False)
    use_language(None)
    assert texts.language() == language


def _is_used(key: str, literal: set[str], dynamic: tuple[str, ...], source: str) -> bool:
    base = key.removesuffix(".hint")
    if base in literal or f'"{base}"' in source:
        return True
    if key.startswith(dynamic) or any(part in key for part in (".option.", ".label.", ".choice.")):
        return True
    # A key may be put together from a stem that stands in the code as a string of its own.
    return f'"{key.partition(".")[2]}"' in source or f'"{base.partition(".")[2]}"' in source


def _keys_in_code(
    calls: tuple[str, ...] = ("t", "UserError", "RunFatal", "log", "warn"),
) -> list[tuple[Path, str]]:
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            first = node.args[0]
            key = first.value if isinstance(first, ast.Constant) else None
            if name in calls and isinstance(key, str) and re.fullmatch(r"[a-z_]+\.[a-z_.]+", key):
                found.append((path, key))
    for path in PACKAGE.rglob("*.html") if "t" in calls else ():
        for key in re.findall(r"\bt\('([a-z_]+\.[\w.]+)'[,)]", path.read_text(encoding="utf-8")):
            found.append((path, key))
    return found


def _source(pattern: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob(pattern))
