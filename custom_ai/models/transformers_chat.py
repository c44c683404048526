"""Ask a base model, with or without an adapter, through transformers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from custom_ai.errors import UserError
from custom_ai.models.chat_template import Messages, end_tokens, prompt_tokens
from custom_ai.models.loading import (
    best_device,
    bf16_is_fast,
    load_model,
    memory_errors,
    use_threads,
)
from custom_ai.models.pieces import Pieces, StopWish


@dataclass(frozen=True)
class Answer:
    """An answer. tokens: how many were generated, the end mark included; seconds: for its batch.

    stopped: "end" where the model ended it, "length" where it reached the limit, "stopped" where
        somebody asked for it.
    """

    text: str
    tokens: int
    stopped: Literal["end", "length", "stopped"]
    seconds: float


class TransformersChat:
    """A model in memory that answers conversations; an adapter is merged into it.

    path: a folder, or a hub id that was downloaded before. Raises UserError when the model or the
    adapter can't be loaded.
    """

    def __init__(self, path: str | Path, adapter: Path | None = None, threads: int = 0) -> None:
        import torch

        use_threads(threads, path)
        self._torch = torch
        self._device = best_device()
        dtype = torch.bfloat16 if bf16_is_fast(self._device) else torch.float32
        self._model, self._tokenizer = load_model(path, dtype)
        if adapter is not None:
            self._model = _merged(self._model, adapter)
        self._model.to(self._device).eval()
        self._ends = end_tokens(self._tokenizer)
        self._padding = self._tokenizer.pad_token_id
        if self._padding is None:
            self._padding = self._ends[0] if self._ends else 0

    @property
    def context(self) -> int | None:
        """The longest conversation in tokens, its answer included; None where there is no limit."""
        limit: int | None = getattr(self._model.config, "max_position_embeddings", None)
        return limit

    def count(self, messages: Messages) -> int:
        """How many tokens a conversation takes before its answer begins."""
        return len(prompt_tokens(self._tokenizer, messages))

    def answer(
        self,
        messages: Messages,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        tell: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Answer:
        """Answer one conversation; at temperature 0 always with the likeliest token.

        tell: gets the answer piece by piece while it is written; together they are its text.
        should_stop: asked after each token; an answer that is stopped keeps what it has.
        """
        wish = StopWish(should_stop) if should_stop else None
        pieces = Pieces(self._tokenizer, self._ends, tell) if tell else None
        answer = self._generate([messages], max_new_tokens, temperature, pieces, wish)[0]
        if pieces:
            pieces.finish(answer.text)
        return answer

    def answers(
        self, conversations: list[Messages], max_new_tokens: int = 256, temperature: float = 0.0
    ) -> list[Answer]:
        """Answer several conversations at once, in their order; one batch in memory."""
        return self._generate(conversations, max_new_tokens, temperature, None, None)

    def _generate(
        self,
        conversations: list[Messages],
        max_new_tokens: int,
        temperature: float,
        pieces: Pieces | None,
        wish: StopWish | None,
    ) -> list[Answer]:
        torch = self._torch
        prompts = [prompt_tokens(self._tokenizer, messages) for messages in conversations]
        width = max(map(len, prompts), default=0)
        # Padding stands on the left, so that each answer follows its prompt.
        ids = [[self._padding] * (width - len(p)) + p for p in prompts]
        mask = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
        sampling: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        start = time.monotonic()
        with torch.inference_mode(), memory_errors():
            out = self._model.generate(
                input_ids=torch.tensor(ids, device=self._device),
                attention_mask=torch.tensor(mask, device=self._device),
                generation_config=self._generation_config(max_new_tokens, sampling),
                streamer=pieces,
                stopping_criteria=[wish] if wish else None,
            )
        seconds = time.monotonic() - start
        cut_off: Literal["length", "stopped"] = "stopped" if wish and wish.granted else "length"
        return [self._read(row[width:].tolist(), seconds, cut_off) for row in out]

    def _generation_config(self, max_new_tokens: int, sampling: dict[str, Any]) -> Any:
        from transformers import GenerationConfig

        # The model's own file may ask for sampling or penalties; measurements need neither.
        return GenerationConfig(  # type: ignore[no-untyped-call, unused-ignore]
            max_new_tokens=max_new_tokens,
            eos_token_id=self._ends or None,
            pad_token_id=self._padding,
            **sampling,
        )

    def _read(
        self, tokens: list[int], seconds: float, cut_off: Literal["length", "stopped"]
    ) -> Answer:
        end = next((i for i, token in enumerate(tokens) if token in self._ends), None)
        kept = tokens if end is None else tokens[:end]
        text = self._tokenizer.decode(kept, skip_special_tokens=True).strip()
        count = len(tokens) if end is None else end + 1
        return Answer(text, count, cut_off if end is None else "end", seconds)


def _merged(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    # PEFT would fall back to a pickle file.
    if not (adapter / "adapter_model.safetensors").exists():
        raise UserError("models.no_adapter", path=adapter)
    try:
        return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError("models.cannot_load", path=adapter, reason=reason) from error
