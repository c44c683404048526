"""How a conversation becomes tokens: the same way in training as when the model answers."""

from typing import Any

from custom_ai.errors import UserError

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# Models that can think aloud are trained and asked without it; other templates ignore the wish.
_WISHES = {"enable_thinking": False}

_PROBE = "custom-ai"

Messages = list[dict[str, str]]


def ensure_template(tokenizer: Any, model: str) -> None:
    """Give a tokenizer without a chat template ChatML, where it knows ChatML's tokens.

    Raises UserError for a model that was never taught to hold a conversation.
    """
    if tokenizer.chat_template:
        return
    known = tokenizer.get_vocab()
    if "<|im_start|>" not in known or "<|im_end|>" not in known:
        raise UserError("models.no_chat_template", model=model)
    tokenizer.chat_template = CHATML


def prompt_tokens(tokenizer: Any, messages: Messages) -> list[int]:
    """The tokens after which the model is to answer."""
    return _read(tokenizer, rendered(tokenizer, messages, add_generation_prompt=True))


def conversation_tokens(tokenizer: Any, messages: Messages) -> list[int]:
    """The tokens of a whole conversation, the last answer and its end mark included.

    The answer follows exactly what the model is asked with: some templates open an answer with an
    empty thought, but leave the thought out where they show an answer that was given.
    """
    return _read(tokenizer, _with_answer(tokenizer, messages))


def end_tokens(tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the tokenizer's own, and the one the template puts there."""
    found = set() if tokenizer.eos_token_id is None else {tokenizer.eos_token_id}
    after = _after_answer(tokenizer, [{"role": "user", "content": "?"}])
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    for token in tokenizer(after, add_special_tokens=False)["input_ids"]:
        if token in special:
            found.add(token)
            break
    return sorted(found)


def rendered(tokenizer: Any, messages: Messages, add_generation_prompt: bool) -> str:
    """A conversation in the words of the model's own template."""
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=add_generation_prompt, **_WISHES
    )
    return text


def _with_answer(tokenizer: Any, messages: Messages) -> str:
    text = rendered(tokenizer, messages, add_generation_prompt=False)
    *asked, last = messages
    if last["role"] != "assistant" or not asked:
        return text
    prompt = rendered(tokenizer, asked, add_generation_prompt=True)
    after = _after_answer(tokenizer, asked)
    # A template may trim what was said.
    for answer in (last["content"], last["content"].strip()):
        if not text.startswith(prompt) and text.endswith(answer + after):
            return prompt + answer + after
    return text


def _after_answer(tokenizer: Any, asked: Messages) -> str:
    """What the template writes after an answer to these messages."""
    answered = [*asked, {"role": "assistant", "content": _PROBE}]
    return rendered(tokenizer, answered, add_generation_prompt=False).rpartition(_PROBE)[2]


def _read(tokenizer: Any, text: str) -> list[int]:
    tokens: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return tokens
