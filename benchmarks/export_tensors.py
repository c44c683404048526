"""The tensors we write against those of llama.cpp's official converter, for every architecture.

    python -m benchmarks.export_tensors --llama-cpp FOLDER [KIND …]

FOLDER is a checkout of llama.cpp; the sdist of llama-cpp-python holds one, under vendor/llama.cpp.
The models are the tiny random ones of the tests. Vocabularies are not compared: the converter knows
only tokenizers of published models, so it is kept from looking at them.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

from custom_ai.step import Step


def main() -> None:
    """Convert each model twice and say what differs."""
    from tests.export import conftest

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llama-cpp", type=Path, required=True)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(conftest._KINDS)}")
    args = parser.parse_args()
    checkout = args.llama_cpp.absolute()
    sys.path[:0] = [str(checkout / "gguf-py"), str(checkout)]
    _ignore_vocabularies()
    found = {}
    for kind in args.kinds or [
        k for k in conftest._KINDS if not k.startswith(("trained", "speaking"))
    ]:
        with tempfile.TemporaryDirectory() as name:
            found[kind] = _compare(kind, conftest._KINDS[kind], checkout, Path(name))
        print(kind, found[kind], flush=True)
    print(json.dumps(found, indent=1))


def _compare(kind: str, make: Any, checkout: Path, folder: Path) -> dict[str, Any]:
    import torch

    from custom_ai.export.gguf.writer import write

    torch.manual_seed(7)
    model, tokenizer = make()
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
    write(folder / "model", ours, "f16", kind, "base", Step(folder, lambda e: None, lambda: None))
    sys.argv = ["convert_hf_to_gguf.py", str(folder / "model"), "--outfile", str(theirs)]
    sys.argv += ["--outtype", "f16"]
    try:
        runpy.run_path(str(checkout / "convert_hf_to_gguf.py"), run_name="__main__")
    # Whatever it says, the other kinds are still to be compared.
    except (Exception, SystemExit) as error:
        if not theirs.exists():
            return {"not converted": f"{type(error).__name__}: {error}"}
    return _differences(ours, theirs)


def _differences(ours: Path, theirs: Path) -> dict[str, Any]:
    """Tensors of another name, type or shape, and by how much the values of others differ."""
    import gguf
    import numpy as np

    one, other = ({t.name: t for t in gguf.GGUFReader(p).tensors} for p in (ours, theirs))
    wrong: dict[str, Any] = {}
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            wrong[name] = "only ours" if name in one else "only theirs"
            continue
        a, b = one[name], other[name]
        if a.tensor_type != b.tensor_type or a.data.shape != b.data.shape:
            wrong[name] = (
                f"{a.tensor_type.name} {a.data.shape}, {b.tensor_type.name} {b.data.shape}"
            )
        elif a.data.tobytes() != b.data.tobytes():
            wrong[name] = float(np.abs(a.data.astype(np.float64) - b.data).max())
    return {"compared": len(one), "different": wrong}


def _ignore_vocabularies() -> None:
    from conversion import base  # type: ignore[import-not-found]

    made = base.ModelBase.__init__

    def without_vocabulary(self: Any, *args: Any, **more: Any) -> None:
        made(self, *args, **more)
        self.set_vocab = lambda: None

    base.ModelBase.__init__ = without_vocabulary


if __name__ == "__main__":
    main()
