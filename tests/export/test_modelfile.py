"""The template Ollama gets says what the trained one says, or none is given."""

from typing import Any

import pytest

from custom_ai.export.modelfile import take_apart
from custom_ai.export.verdict import DIALOGUES
from custom_ai.models.chat_template import CHATML
from tests.export.conftest import make_pieces, make_tokenizer

LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim"
    " + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}"
    "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
) + CHATML
# Writes the question's number: more than texts between fixed words.
COUNTING = "{% for m in messages %}{{ loop.index }}{{ m['content'] }}{% endfor %}"


@pytest.mark.parametrize("template", [CHATML, LLAMA_3, GEMMA, DEFAULT])
def test_the_parts_put_together_are_the_template(template: str) -> None:
    for tokenizer in (
        make_tokenizer("gpt-2", template, begin=True),
        make_pieces("always", template),
    ):
        turns = take_apart(tokenizer)
        assert turns is not None
        for dialogue in DIALOGUES:
            wanted: Any = tokenizer.apply_chat_template(
                list(dialogue), tokenize=False, add_generation_prompt=True
            )
            assert turns.write(dialogue) == wanted.removeprefix(tokenizer.bos_token)


def test_a_default_system_prompt_stands_only_where_none_is_given() -> None:
    turns = take_apart(make_tokenizer("gpt-2", DEFAULT))
    assert turns is not None
    assert turns.begin == "<|im_start|>system\nYou are helpful.<|im_end|>\n"
    assert turns.system == ("<|im_start|>system\n", "<|im_end|>\n")
    assert turns.in_go().startswith('{{ if .System }}{{ "<|im_start|>system\\n" }}{{ .System }}')


def test_a_template_without_a_system_prompt_has_none() -> None:
    turns = take_apart(make_pieces("never", GEMMA))
    assert turns is not None and turns.system is None
    assert ".System" not in turns.in_go()


def test_a_template_that_counts_is_left_to_the_file() -> None:
    assert take_apart(make_tokenizer("gpt-2", COUNTING)) is None
