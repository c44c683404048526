"""The measures of a model, as its config.json says them: enough to count weights and memory."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """A decoder of the families we know.

    queries, keys: how wide the projections of queries and of keys (or values) are.
    tied: whether the embedding is also the output. context: the longest text, in tokens.
    """

    architecture: str
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    queries: int
    keys: int
    tied: bool
    context: int | None

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Shape | None":
        """Read a config.json; None where it lacks a measure, as those of other families do."""
        try:
            heads = config["num_attention_heads"]
            head = config.get("head_dim") or config["hidden_size"] // heads
            return cls(
                architecture=(config.get("architectures") or ["–"])[0],
                layers=config["num_hidden_layers"],
                hidden=config["hidden_size"],
                intermediate=config["intermediate_size"],
                vocabulary=config["vocab_size"],
                queries=head * heads,
                keys=head * (config.get("num_key_value_heads") or heads),
                tied=bool(config.get("tie_word_embeddings")),
                context=config.get("max_position_embeddings"),
            )
        except (KeyError, TypeError, ZeroDivisionError):
            return None

    @property
    def parameters(self) -> int:
        """How many weights such a model has; biases, a thousandth of them, left out."""
        norms = (2 * self.layers + 1) * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.linear_parameters + norms + embeddings

    @property
    def linear_parameters(self) -> int:
        """The weights of the linear layers inside: those that can be kept in 4 bits."""
        layer = 2 * self.hidden * (self.queries + self.keys) + 3 * self.hidden * self.intermediate
        return self.layers * layer

    def adapter_parameters(self, rank: int) -> int:
        """How many weights a LoRA adapter on all linear layers has."""
        if self.architecture == "Phi3ForCausalLM":
            # Queries, keys and values in one projection, gate and up in another.
            fused = self.hidden + self.queries + 2 * self.keys
            fused += self.queries + 2 * self.hidden + 3 * self.intermediate + self.hidden
            return self.layers * rank * fused
        widths = (
            (self.hidden, self.queries),
            (self.hidden, self.keys),
            (self.hidden, self.keys),
            (self.queries, self.hidden),
            (self.hidden, self.intermediate),
            (self.hidden, self.intermediate),
            (self.intermediate, self.hidden),
        )
        return self.layers * rank * sum(inner + outer for inner, outer in widths)
