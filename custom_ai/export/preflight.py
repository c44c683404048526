"""Whether a base model can become an export of some format, asked before it is trained."""

from custom_ai.errors import UserError
from custom_ai.export.gguf import vocabulary
from custom_ai.files import read_json
from custom_ai.models.architectures import for_config
from custom_ai.models.facts import Facts

# The formats whose files hold the tokenizer in llama.cpp's way.
_IN_LLAMA_CPP = ("gguf", "gguf_adapter", "ollama")


def obstacle(facts: Facts, format_name: str) -> UserError | None:
    """What stands in the way, as far as it can be known now; else None.

    With configuration and tokenizer at hand they are asked; else what we know of the model.
    """
    folder = facts.folder
    try:
        if folder and (folder / "config.json").exists():
            for_config(read_json(folder / "config.json"))
        if format_name not in _IN_LLAMA_CPP:
            return None
        if folder and (folder / "tokenizer.json").exists():
            vocabulary.check_file(folder / "tokenizer.json")
    except UserError as error:
        return error
    return None


def is_checked(facts: Facts) -> bool:
    """Whether the files were there to be asked, so that "no obstacle" means something."""
    folder = facts.folder
    return folder is not None and (folder / "tokenizer.json").exists()
