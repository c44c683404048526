"""A training with MLX, step by step, exact when it is continued.

MLX's random numbers can't be saved and brought back. So they are set anew before every batch, from
the seed and the number of the step: a continued step then draws what the uninterrupted one drew.
"""

import math
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from custom_ai.training.config import TrainingOptions
from custom_ai.training.course import Course
from custom_ai.training.data import IGNORED, EncodedSample

# As in the trainer of transformers: a longer gradient is shortened to this.
_LONGEST_GRADIENT = 1.0
_SEEDS = 2**32
# The length of a batch is rounded up to a multiple of this: fewer shapes, fewer kernels to build.
_ROUND = 16

Batch = list[EncodedSample]


class Loop:
    """Trains `model` in place. state: like the state of a trainer of transformers."""

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        options: TrainingOptions,
        train: list[EncodedSample],
        validation: list[EncodedSample],
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self._options = options
        self.train = train
        self._validation = validation
        batches = math.ceil(len(train) / options.batch_size)
        self.steps_per_epoch = math.ceil(batches / options.gradient_accumulation)
        self.state = SimpleNamespace(
            global_step=0,
            max_steps=self.steps_per_epoch * options.epochs,
            epoch=0.0,
            num_input_tokens_seen=0,
            log_history=[],
        )

    def run(self, course: Course) -> None:
        """Train from `state` to the end; the course may raise what ends it earlier."""
        state = self.state
        course.on_train_begin(state)
        self.model.train()
        while not course.is_over(state):
            for batches in self._rest_of_epoch():
                loss, norm, rate = self._step(batches, course)
                control = SimpleNamespace(should_save=False, should_training_stop=False)
                course.on_step_end(state, control)
                self._log(course, {"loss": loss, "grad_norm": norm, "learning_rate": rate})
                if state.global_step % self.steps_per_epoch == 0:
                    control.should_save = True
                    if self._validation:
                        self._log(course, {"eval_loss": self._evaluate(course)})
                        course.on_evaluate(state, control)
                if control.should_save:
                    course.save(state)
                    course.on_save(state)

    def _log(self, course: Course, logs: dict[str, float]) -> None:
        self.state.log_history.append({**logs, "step": self.state.global_step})
        course.on_log(self.state, logs)

    def _rest_of_epoch(self) -> Iterator[list[Batch]]:
        """The batches of each step of the epoch that `state` stands in, from there on."""
        epoch, done = divmod(self.state.global_step, self.steps_per_epoch)
        order = list(range(len(self.train)))
        random.Random(self._options.seed * 1000 + epoch).shuffle(order)
        batches = list(_cut([self.train[i] for i in order], self._options.batch_size))
        yield from list(_cut(batches, self._options.gradient_accumulation))[done:]

    def _step(self, batches: list[Batch], course: Course) -> tuple[float, float, float]:
        """One optimizer step: loss, length of the gradient, learning rate."""
        import mlx.core as mx
        import mlx.nn as nn
        from mlx.optimizers import clip_grad_norm
        from mlx.utils import tree_map

        state = self.state
        course.on_step_begin(state)
        learnt = sum(_learnt(sample) for batch in batches for sample in batch)
        compute = nn.value_and_grad(self.model, _loss_sum)
        total, gradients = 0.0, None
        for number, batch in enumerate(batches):
            mx.random.seed(_seed(self._options.seed, state.global_step, number))
            loss, found = compute(self.model, *_tensors(batch))
            gradients = found if gradients is None else tree_map(mx.add, gradients, found)
            mx.eval(loss, gradients)
            total += loss.item()
            state.num_input_tokens_seen += sum(len(sample.input_ids) for sample in batch)
            if number < len(batches) - 1:
                course.on_substep_end(state)
        gradients = tree_map(lambda gradient: gradient / learnt, gradients)
        gradients, norm = clip_grad_norm(gradients, _LONGEST_GRADIENT)
        rate = learning_rate(self._options, state.global_step, state.max_steps)
        self.optimizer.learning_rate = rate
        self.optimizer.update(self.model, gradients)
        mx.eval(self.model.trainable_parameters(), self.optimizer.state)
        state.global_step += 1
        state.epoch = state.global_step / self.steps_per_epoch
        return total / learnt, norm.item(), rate

    def _evaluate(self, course: Course) -> float:
        """The mean loss of the answers' tokens in the validation samples."""
        self.model.eval()
        total = 0.0
        for batch in _cut(self._validation, self._options.batch_size):
            total += _loss_sum(self.model, *_tensors(batch)).item()
            course.on_evaluation_batch()
        self.model.train()
        return total / sum(map(_learnt, self._validation))


def learning_rate(options: TrainingOptions, step: int, steps: int) -> float:
    """The rate of the step with this number, from 0; the curves are those of transformers."""
    warmup = math.ceil(steps * options.warmup_ratio)
    if step < warmup:
        return options.learning_rate * step / warmup
    share = (step - warmup) / max(1, steps - warmup)
    if options.scheduler == "cosine":
        return options.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
    return options.learning_rate * (1 - share if options.scheduler == "linear" else 1)


def _loss_sum(model: Any, inputs: Any, labels: Any) -> Any:
    """The sum of the losses of all tokens that are learnt."""
    import mlx.core as mx
    import mlx.nn as nn

    logits = model(inputs)[:, :-1].astype(mx.float32)
    targets = labels[:, 1:]
    learnt = targets != IGNORED
    losses = nn.losses.cross_entropy(logits, mx.where(learnt, targets, 0))
    return (losses * learnt).sum()


def _tensors(batch: Batch) -> tuple[Any, Any]:
    """Inputs and labels, each (samples, longest); what is filled up at the end is not learnt."""
    import mlx.core as mx

    longest = max(len(sample.input_ids) for sample in batch)
    width = math.ceil(longest / _ROUND) * _ROUND
    inputs = [s.input_ids + [0] * (width - len(s.input_ids)) for s in batch]
    labels = [s.labels + [IGNORED] * (width - len(s.labels)) for s in batch]
    return mx.array(inputs), mx.array(labels)


def _learnt(sample: EncodedSample) -> int:
    return sum(label != IGNORED for label in sample.labels[1:])


def _seed(seed: int, step: int, batch: int) -> int:
    """A number of its own for each batch of a training."""
    return (seed * 1_000_003 + step * 1009 + batch) % _SEEDS


def _cut(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
