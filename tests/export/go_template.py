"""As much of the language of Go's templates as Ollama needs for what we send it.

https://pkg.go.dev/text/template: texts, strings, fields, `if` with `else if`, `range`, `eq`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

_STRING = r'"(?:[^"\\]|\\.)*"'
_PART = re.compile(r"\{\{\s*((?:" + _STRING + r"|[^\"}])*?)\s*\}\}")
_WORD = re.compile(_STRING + r"|\S+")


def render(template: str, messages: list[dict[str, str]], system: str = "") -> str:
    """A conversation as Ollama writes it.

    system: what the model was made with; a system message in the conversation takes its place.
    """
    said = [m["content"] for m in messages if m["role"] == "system"] or [system]
    if system and not any(m["role"] == "system" for m in messages):
        messages = [{"role": "system", "content": system}, *messages]
    turns = [{"Role": m["role"], "Content": m["content"]} for m in messages]
    parts = iter(_parts(template))
    text, end = _block(parts, {"System": "\n\n".join(said), "Messages": turns}, True)
    assert end == ""
    return text


def _parts(template: str) -> Iterator[tuple[str, str]]:
    """Texts and actions, in order."""
    position = 0
    for found in _PART.finditer(template):
        yield "text", template[position : found.start()]
        yield "action", found[1]
        position = found.end()
    yield "text", template[position:]


def _block(parts: Iterator[tuple[str, str]], dot: Any, live: bool) -> tuple[str, str]:
    """What stands up to the `else` or `end` that belongs here, and that action."""
    text = ""
    for kind, part in parts:
        if kind == "text":
            text += part
        elif part == "end" or part.startswith("else"):
            return text, part
        elif part.startswith("if "):
            text += _choice(parts, part[3:], dot, live)
        elif part.startswith("range "):
            text += _each(parts, _value(part[6:], dot) if live else [], live)
        elif live:
            text += str(_value(part, dot))
    return (text if live else ""), ""


def _choice(parts: Iterator[tuple[str, str]], condition: str, dot: Any, live: bool) -> str:
    chosen, taken = "", False
    while True:
        holds = live and not taken and (not condition or bool(_value(condition, dot)))
        text, end = _block(parts, dot, holds)
        if holds:
            chosen, taken = text, True
        if end == "end":
            return chosen
        condition = end.removeprefix("else").strip().removeprefix("if").strip()


def _each(parts: Iterator[tuple[str, str]], values: list[Any], live: bool) -> str:
    # What is repeated is read once; each value gets parts of its own.
    inside, depth = [], 1
    for kind, part in parts:
        depth += kind == "action" and part.startswith(("if ", "range "))
        depth -= kind == "action" and part == "end"
        if not depth:
            break
        inside.append((kind, part))
    return "".join(_block(iter(inside), value, live)[0] for value in values)


def _value(expression: str, dot: Any) -> Any:
    words = _WORD.findall(expression)
    if words[0] == "eq":
        return _value(words[1], dot) == _value(words[2], dot)
    assert len(words) == 1, f"this template language has no {expression!r} here"
    if words[0].startswith('"'):
        return json.loads(words[0])
    return dot[words[0].removeprefix(".")]
