"""A LoRA training as the documentation of TRL or of Unsloth shows it, to measure ours beside it.

    python plain_training.py '{"library", "model", "rows", "tokens", "batch", "four_bit"}'

rows: a file of JSON lines with prompt and completion. Prints {"tokens_per_second", "memory"} as its
last line. It imports nothing of custom-ai and is run by the interpreter that has the library.

SPDX-License-Identifier: MIT
(this file alone: it may call a library that is under the AGPL)
"""

import json
import resource
import statistics
import sys
import tempfile
import time
from typing import Any

LORA: dict[str, Any] = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0}
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
_WARM_UP = 3


def main() -> None:
    """Train and measure; what the library prints stands above the result."""
    job = json.loads(sys.argv[1])
    if job["library"] == "unsloth":
        import unsloth  # noqa: F401 – before the libraries that it changes
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Clock(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.paces: list[float] = []
            self._last: tuple[float, int] | None = None

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            now = (time.monotonic(), int(state.num_input_tokens_seen))
            if self._last:
                self.paces.append((now[1] - self._last[1]) / (now[0] - self._last[0]))
            self._last = now

    cuda = torch.cuda.is_available()
    more = _unsloth(job, cuda) if job["library"] == "unsloth" else _trl(job, cuda)
    with open(job["rows"], encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder,
            num_train_epochs=2,
            per_device_train_batch_size=job["batch"],
            max_length=job["tokens"],
            gradient_checkpointing=False,
            bf16=cuda,
            use_cpu=not cuda,
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            include_num_input_tokens_seen="non_padding",
            disable_tqdm=True,
        )
        dataset = Dataset.from_list(rows)
        SFTTrainer(args=settings, train_dataset=dataset, callbacks=[clock], **more).train()
    memory = torch.cuda.max_memory_reserved() if cuda else 0
    memory = memory or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pace = statistics.median(clock.paces[_WARM_UP:])
    print(json.dumps({"tokens_per_second": pace, "memory": memory}))


def _trl(job: dict[str, Any], cuda: bool) -> dict[str, Any]:
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    more: dict[str, Any] = {}
    if job["four_bit"]:
        config = BitsAndBytesConfig(  # type: ignore[no-untyped-call, unused-ignore]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if cuda else torch.float32,
        )
        more = {"quantization_config": config, "device_map": {"": "cuda" if cuda else "cpu"}}
    model = AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=torch.bfloat16 if cuda else torch.float32, **more
    )
    return {"model": model, "peft_config": LoraConfig(**LORA, target_modules=MODULES)}


def _unsloth(job: dict[str, Any], cuda: bool) -> dict[str, Any]:
    import torch
    from unsloth import FastLanguageModel

    model, tokenizer = FastLanguageModel.from_pretrained(
        job["model"],
        max_seq_length=job["tokens"],
        dtype=torch.bfloat16 if cuda else torch.float32,
        load_in_4bit=job["four_bit"],
    )
    model = FastLanguageModel.get_peft_model(
        model, **LORA, target_modules=MODULES, bias="none", use_gradient_checkpointing=False
    )
    return {"model": model, "processing_class": tokenizer}


if __name__ == "__main__":
    main()
