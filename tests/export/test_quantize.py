"""Each tensor gets the type llama.cpp would give it, and the smaller file still answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
from gguf import GGMLQuantizationType as Kind

from custom_ai.errors import Stopped
from custom_ai.export.gguf.quantize import plan_types, quantize
from custom_ai.export.gguf.writer import write
from custom_ai.providers.gguf_header import read_header
from custom_ai.step import Step


def _shapes(layers: int, columns: int = 512, tied: bool = False) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (600, columns)}
    if not tied:
        shapes["output.weight"] = (600, columns)
    shapes["output_norm.weight"] = (columns,)
    for i in range(layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            shapes[f"blk.{i}.{name}.weight"] = (columns, columns)
        shapes[f"blk.{i}.attn_norm.weight"] = (columns,)
        shapes[f"blk.{i}.attn_q.bias"] = (columns,)
    return shapes


def test_q4_k_m_spends_its_bits_where_llama_cpp_does() -> None:
    plan = plan_types(_shapes(16), 16, "q4_k_m")
    assert plan["output.weight"] == Kind.Q6_K
    assert plan["token_embd.weight"] == Kind.Q4_K
    assert plan["output_norm.weight"] is None and plan["blk.3.attn_q.bias"] is None
    precise = [i for i in range(16) if plan[f"blk.{i}.ffn_down.weight"] == Kind.Q6_K]
    # The list llama-quantize prints for 16 layers.
    assert precise == [0, 1, 4, 7, 10, 13, 14, 15]
    assert precise == [i for i in range(16) if plan[f"blk.{i}.attn_v.weight"] == Kind.Q6_K]
    for name in ("attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"):
        assert {plan[f"blk.{i}.{name}.weight"] for i in range(16)} == {Kind.Q4_K}


def test_a_tied_embedding_gets_the_bits_of_the_output() -> None:
    assert plan_types(_shapes(2, tied=True), 2, "q4_k_m")["token_embd.weight"] == Kind.Q6_K


@pytest.mark.parametrize(
    ("columns", "common", "precise", "q8"),
    [(896, Kind.Q5_0, Kind.Q8_0, Kind.Q8_0), (100, Kind.F16, Kind.F16, Kind.F16)],
)
def test_rows_that_hold_no_whole_blocks_get_the_next_type(
    columns: int, common: Kind, precise: Kind, q8: Kind
) -> None:
    shapes = _shapes(2, columns)
    plan = plan_types(shapes, 2, "q4_k_m")
    assert plan["blk.0.attn_q.weight"] == common
    assert plan["output.weight"] == precise
    assert plan_types(shapes, 2, "q8_0")["blk.0.attn_q.weight"] == q8


def test_q8_0_is_the_same_everywhere() -> None:
    plan = plan_types(_shapes(3), 3, "q8_0")
    assert {kind for name, kind in plan.items() if name.endswith("norm.weight")} == {None}
    assert {kind for kind in plan.values() if kind} == {Kind.Q8_0}


@pytest.mark.parametrize(("quantization", "number"), [("q8_0", 7), ("q4_k_m", 15)])
def test_the_quantised_file_keeps_everything_but_the_bits(
    quantization: Any,
    number: int,
    model_folder: Callable[[str], Path],
    step: Step,
    tmp_path: Path,
) -> None:
    exact, small = tmp_path / "f16.gguf", tmp_path / "small.gguf"
    write(model_folder("llama3"), exact, "f16", "Größe", "base", step)
    quantize(exact, small, quantization, step)
    before, after = read_header(exact), read_header(small)
    assert after.values == {**before.values, "general.file_type": number}
    assert {n: s for n, (s, _) in after.tensors.items()} == {
        n: s for n, (s, _) in before.tensors.items()
    }
    tokens = [gguf.GGUFReader(f).fields["tokenizer.ggml.tokens"].contents() for f in (exact, small)]
    assert tokens[0] == tokens[1]
    assert small.stat().st_size < exact.stat().st_size * 0.62


def test_stopping_leaves_no_file(
    model_folder: Callable[[str], Path], step: Step, tmp_path: Path
) -> None:
    exact = tmp_path / "f16.gguf"
    write(model_folder("plain"), exact, "f16", "n", "b", step)
    asked = iter([None, None, None, "pause"])
    stopping = Step(step.folder, step.report, lambda: next(asked))  # type: ignore[arg-type]
    with pytest.raises(Stopped):
        quantize(exact, tmp_path / "small.gguf", "q8_0", stopping)
    assert [p.name for p in tmp_path.iterdir() if "small" in p.name] == []
