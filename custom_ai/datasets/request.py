"""One job as the request that a provider gets."""

from collections.abc import Sequence

from custom_ai.datasets import variety
from custom_ai.datasets.generate_options import GenerateOptions
from custom_ai.datasets.plan import Question
from custom_ai.datasets.prompts import SCHEMA, Prompts
from custom_ai.datasets.variety import Wanted
from custom_ai.providers.provider import Passage, Request

# An answer may take so many tokens, whatever the model.
TOKENS_PER_PAIR = 350
TOKENS_AROUND = 200


def make_request(
    question: Question,
    count: int,
    options: GenerateOptions,
    words: Prompts,
    skip: int = 0,
    earlier: Sequence[str] = (),
) -> tuple[Request, list[Wanted]]:
    """Ask for `count` pairs about a chunk, and for what kinds of questions.

    skip, earlier: how many pairs the chunk gave before, and their questions.
    """
    chunk = question.chunk
    wanted = variety.draw(question, skip, count, options.seed, options.unanswerable)
    request = Request(
        messages=variety.directed(words.messages(chunk, count, earlier), wanted, chunk.language),
        schema=SCHEMA,
        max_tokens=TOKENS_AROUND + TOKENS_PER_PAIR * count,
        temperature=options.temperature,
        seed=options.seed,
        passage=Passage(
            chunk.text, chunk.filename, chunk.heading_path, chunk.language, count, skip
        ),
    )
    return request, wanted
