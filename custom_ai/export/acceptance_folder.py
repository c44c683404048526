"""Exports for transformers, loaded anew and compared with the model as it was trained."""

from __future__ import annotations

from pathlib import Path

from custom_ai import files
from custom_ai.export.merge import ROUNDING, mean_divergence
from custom_ai.export.reference import Reference
from custom_ai.export.verdict import DIALOGUES, Acceptance, Check, tokens_check
from custom_ai.models.chat_template import conversation_tokens
from custom_ai.step import Step


def accept_folder(
    folder: Path, base_path: str, adapter: Path | None, precision: str, step: Step
) -> Acceptance:
    """Load a merged model anew and compare it with base and adapter as they were trained."""
    step.progress(0, 2, "check")
    trained = Reference(base_path, adapter)
    conversations = [conversation_tokens(trained.tokenizer, list(d)) for d in DIALOGUES]
    expected = [trained.log_probabilities(c, len(c) - 1) for c in conversations]
    step.progress(1, 2, "check")
    step.stop_if_asked()
    merged = Reference(folder)
    read = [conversation_tokens(merged.tokenizer, list(d)) for d in DIALOGUES]
    divergence = max(
        mean_divergence(e, merged.log_probabilities(c, len(c) - 1))
        for e, c in zip(expected, conversations, strict=True)
    )
    bound = ROUNDING[precision]
    end = files.read_json(folder / "generation_config.json")["eos_token_id"]
    step.progress(2, 2, "check")
    return Acceptance(
        (
            Check("loads", True, "transformers", "transformers", "export.check.loads"),
            Check("end", bool(end), str(end), "≥ 1", "export.check.end"),
            tokens_check(read, conversations),
            Check("logprobs", divergence <= bound, divergence, bound, "export.check.logprobs"),
        )
    )


def accept_adapter(folder: Path, base_path: str, step: Step) -> Acceptance:
    """Load an adapter on its base; merged into it, it must say the same."""
    step.progress(0, 1, "check")
    tuned = Reference(base_path, folder)
    conversations = [conversation_tokens(tuned.tokenizer, list(d)) for d in DIALOGUES]
    beside = [tuned.log_probabilities(c, len(c) - 1) for c in conversations]
    tuned.merge()
    divergence = max(
        mean_divergence(e, tuned.log_probabilities(c, len(c) - 1))
        for e, c in zip(beside, conversations, strict=True)
    )
    bound = ROUNDING["float32"]
    step.progress(1, 1, "check")
    return Acceptance(
        (
            Check("loads", True, "peft", "peft", "export.check.loads"),
            Check("logprobs", divergence <= bound, divergence, bound, "export.check.logprobs"),
        )
    )
