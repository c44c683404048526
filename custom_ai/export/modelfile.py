"""What Ollama has to be told of a model: its template in Ollama's language, its stops, a Modelfile.

Ollama reads the chat template of a GGUF file, but may put a related one of its own in its place;
said explicitly, the trained one stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_ai import files
from custom_ai.export.verdict import DIALOGUES
from custom_ai.models.chat_template import Messages, rendered
from custom_ai.providers.gguf_header import read_header

# Stand for texts of a conversation; no template holds or changes them.
_USER, _AGAIN, _SAID, _SYSTEM = "custom-ai-U", "custom-ai-V", "custom-ai-A", "custom-ai-S"

Render = Callable[[Messages, bool], str]


@dataclass(frozen=True)
class Turns:
    """A chat template taken apart: what stands around the texts.

    begin: before everything where nobody gave a system prompt. user, assistant, system: what
    stands before and after such a text; system is None where the template knows none. answer:
    what the model's answer follows.
    """

    begin: str
    user: tuple[str, str]
    assistant: tuple[str, str]
    system: tuple[str, str] | None
    answer: str

    def write(self, messages: Sequence[dict[str, str]]) -> str:
        """A conversation as Ollama will write it."""
        text = self.begin
        for message in messages:
            before, after = self.user if message["role"] == "user" else self.assistant
            text += before + message["content"] + after
        return text + self.answer

    def in_go(self) -> str:
        """The template in the language of Ollama's templates."""
        begin = _literal(self.begin)
        if self.system:
            said = _literal(self.system[0]) + "{{ .System }}" + _literal(self.system[1])
            begin = "{{ if .System }}" + said + "{{ else }}" + begin + "{{ end }}"
        user, assistant = (
            _literal(before) + "{{ .Content }}" + _literal(after)
            for before, after in (self.user, self.assistant)
        )
        turn = '{{ if eq .Role "user" }}' + user
        turn += '{{ else if eq .Role "assistant" }}' + assistant + "{{ end }}"
        return begin + "{{ range .Messages }}" + turn + "{{ end }}" + _literal(self.answer)


@dataclass(frozen=True)
class Wishes:
    """How a model is to behave in Ollama.

    template: None leaves the one in the GGUF file. stops: texts that end an answer.
    context: tokens. licence: of the base model.
    """

    template: str | None
    stops: tuple[str, ...]
    system: str = ""
    temperature: float = 0.7
    context: int = 4096
    licence: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by Ollama's names."""
        return {
            "stop": list(self.stops),
            "temperature": self.temperature,
            "num_ctx": self.context,
        }


def wishes_for(gguf: Path, base_path: str, **others: Any) -> Wishes:
    """What Ollama is to know of a GGUF file we made. others: as in Wishes."""
    from transformers import AutoTokenizer

    values = read_header(gguf).values
    tokenizer = AutoTokenizer.from_pretrained(base_path, trust_remote_code=False)
    tokenizer.chat_template = values["tokenizer.chat_template"]
    turns = take_apart(tokenizer)
    if others.get("system") and turns and not turns.system:
        turns = None
    end = int(values["tokenizer.ggml.eos_token_id"])
    if longest := read_header(gguf).context_length:
        others["context"] = min(others.get("context", longest), longest)
    template = turns.in_go() if turns else None
    return Wishes(template, stops(tokenizer, end, turns), **others)


def take_apart(tokenizer: Any) -> Turns | None:
    """The template of a tokenizer; None where it is more than texts between fixed words."""
    begin = tokenizer.bos_token or ""

    def render(messages: Messages, asks: bool) -> str:
        # The first token is put there by whoever reads the text.
        return rendered(tokenizer, messages, add_generation_prompt=asks).removeprefix(begin)

    try:
        turns = _turns(render)
    except ValueError:
        return None
    longer = [*DIALOGUES[2][:2], *DIALOGUES[2]]
    same = all(turns.write(d) == render(list(d), True) for d in (*DIALOGUES, longer))
    return turns if same else None


def stops(tokenizer: Any, end: int, turns: Turns | None) -> tuple[str, ...]:
    """The texts that end an answer: the end of a turn, and the beginning of the next."""
    found = [tokenizer.convert_ids_to_tokens(end)]
    if turns:
        first = tokenizer(turns.user[0], add_special_tokens=False)["input_ids"][:1]
        found += [
            str(tokenizer.added_tokens_decoder[i])
            for i in first
            if i in tokenizer.added_tokens_decoder
        ]
    return tuple(dict.fromkeys(found))


def write(folder: Path, gguf: str, wishes: Wishes) -> None:
    """Write a Modelfile beside the GGUF file, for `ollama create NAME -f Modelfile`."""
    lines = [f"FROM ./{gguf}"]
    if wishes.template is not None:
        lines.append(f'TEMPLATE """{wishes.template}"""')
    if wishes.system:
        lines.append(f'SYSTEM """{wishes.system}"""')
    for name, value in wishes.parameters.items():
        for one in value if isinstance(value, list) else [value]:
            said = json.dumps(one, ensure_ascii=False) if isinstance(one, str) else one
            lines.append(f"PARAMETER {name} {said}")
    if wishes.licence:
        lines.append(f'LICENSE """{wishes.licence}"""')
    files.write_text(folder / "Modelfile", "\n".join(lines) + "\n")


def _turns(render: Render) -> Turns:
    """Raises ValueError where the texts don't stand in the order in which they were said."""
    asked = {"role": "user", "content": _USER}
    dialogue = [
        asked,
        {"role": "assistant", "content": _SAID},
        {"role": "user", "content": _AGAIN},
    ]
    first, after = _split(render([asked], False), _USER)
    _, answer = _split(render([asked], True), _USER)
    before, between, back, _ = _split(render(dialogue, True), _USER, _SAID, _AGAIN)
    if before != first or not between.startswith(after) or not answer.startswith(after):
        raise ValueError
    # Most templates end every turn alike.
    user = back.removeprefix(after) if back.startswith(after) else _common_end(before, back)
    if not before.endswith(user):
        user = _common_end(before, back)
    return Turns(
        begin=before.removesuffix(user),
        user=(user, after),
        assistant=(between.removeprefix(after), back.removesuffix(user)),
        system=_system(render, asked, user),
        answer=answer.removeprefix(after),
    )


def _system(render: Render, asked: dict[str, str], user: str) -> tuple[str, str] | None:
    try:
        said = render([{"role": "system", "content": _SYSTEM}, asked], True)
        before, between, _ = _split(said, _SYSTEM, _USER)
    # A template may refuse a system prompt in any way.
    except Exception:
        return None
    return (before, between.removesuffix(user)) if between.endswith(user) else None


def _split(text: str, *marks: str) -> list[str]:
    parts = []
    for mark in marks:
        part, found, text = text.partition(mark)
        if not found:
            raise ValueError
        parts.append(part)
    return [*parts, text]


def _common_end(one: str, other: str) -> str:
    length = 0
    while length < min(len(one), len(other)) and one[-length - 1] == other[-length - 1]:
        length += 1
    return one[len(one) - length :]


def _literal(text: str) -> str:
    return "{{ " + json.dumps(text, ensure_ascii=False) + " }}" if text else ""
