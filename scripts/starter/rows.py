"""Training rows for the starter model: conversations about made-up texts, and plain prose."""

from __future__ import annotations

import random
from collections.abc import Iterator

from custom_ai.providers.extractive import Pair, questions
from scripts.starter.scenes import LANGUAGES, Scene, prose, words

Message = dict[str, str]

# How many texts are also given together with their questions.
READING = 0.3

# What a small model can say about itself; the rest it learns from the user's documents.
_TALK = {
    "de": (
        ("Hallo!", "Hallo! Stell mir eine Frage zu deinen Dokumenten."),
        ("Wer bist du?", "Ich bin ein sehr kleines Sprachmodell zum Lernen und Ausprobieren."),
        ("Danke!", "Gern geschehen."),
        ("Was kannst du?", "Ich kann kurze Fragen zu einem Text beantworten."),
    ),
    "en": (
        ("Hello!", "Hello! Ask me a question about your documents."),
        ("Who are you?", "I am a very small language model for learning and testing."),
        ("Thank you!", "You are welcome."),
        ("What can you do?", "I can answer short questions about a text."),
    ),
}


def rows(seed: int) -> Iterator[list[Message] | str]:
    """An endless stream of rows: conversations, and now and then a paragraph of prose."""
    rng = random.Random(seed)
    data = {language: words(language) for language in LANGUAGES}
    paragraphs = {language: prose(language) for language in LANGUAGES}
    while True:
        language = rng.choice(LANGUAGES)
        scene = Scene(language, data[language], rng)
        kind = rng.random()
        if kind < 0.05:
            yield rng.choice(paragraphs[language])
        elif kind < 0.07:
            yield [*_system(data[language], rng), *_turn(*rng.choice(_TALK[language]))]
        elif kind < 0.30:
            # The shortest way to learn what answers need most: to copy words from the question.
            words_to_copy = scene.nonsense(rng.randint(3, 10))
            yield _turn(f"{data[language]['repeat']}: {words_to_copy}", words_to_copy)
        else:
            text = scene.text(rng.randint(2, 4))
            if rng.random() < 0.15:
                text = rng.choice(paragraphs[language])
            pairs = questions(text, (), language, 5, seed=rng.randrange(1000))
            for pair in pairs:
                turn = _turn(pair.instruction, pair.output)
                yield [*_system(data[language], rng), *turn]
            if pairs and rng.random() < READING:
                yield _reading(scene, text, rng.sample(pairs, len(pairs)), rng)


def texts(seed: int, count: int) -> Iterator[str]:
    """Texts to train the tokenizer on, half of them German."""
    rng = random.Random(seed)
    for language in LANGUAGES:
        data = words(language)
        for _ in range(count):
            text = Scene(language, data, rng).text(6)
            yield text
            for pair in questions(text, (), language, 2):
                yield pair.instruction
        # The prose counts more often, so that everyday words get tokens of their own.
        yield from prose(language) * 8


def _reading(scene: Scene, text: str, pairs: list[Pair], rng: random.Random) -> list[Message]:
    """A conversation that gives one or several passages before the question."""
    data = scene.data
    others = rng.choices((0, 1, 2, 6), (68, 20, 10, 2))[0]
    passages = [Scene("de" if scene.german else "en", data, rng).text(3) for _ in range(others)]
    passages.insert(rng.randint(0, others), text)
    if rng.random() < 0.4:
        passages = [f"[{number}] {passage}" for number, passage in enumerate(passages, 1)]
    given = "\n\n".join(passages)
    ask = rng.choice(data["ask"])
    first, *rest = pairs
    form = rng.random()
    if form < 0.2:
        messages = [
            {"role": "system", "content": f"{ask}\n\n{given}"},
            *_turn(first.instruction, first.output),
        ]
    elif form < 0.55:
        question = f"{ask}\n\n{given}\n\n{data['question']}: {first.instruction}"
        messages = [*_system(data, rng), *_turn(question, first.output)]
    else:
        messages = _turn(f"{given}\n\n{first.instruction}", first.output)
    for pair in rest:
        if rng.random() < 0.6:
            messages += _turn(pair.instruction, pair.output)
    return messages


def _system(data: dict[str, list[str]], rng: random.Random) -> list[Message]:
    if rng.random() < 0.8:
        return []
    return [{"role": "system", "content": rng.choice(data["system"])}]


def _turn(question: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
