"""Made-up places, things and people, and short texts about them in German and English."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
LANGUAGES = ("de", "en")

_ARTICLES = {
    "f": {"nom": "die", "acc": "die", "dat": "der", "gen": "der", "a": "eine", "a_acc": "eine"},
    "m": {"nom": "der", "acc": "den", "dat": "dem", "gen": "des", "a": "ein", "a_acc": "einen"},
    "n": {"nom": "das", "acc": "das", "dat": "dem", "gen": "des", "a": "ein", "a_acc": "ein"},
}
_ADJECTIVE_ENDS = {"f": "e", "m": "er", "n": "es"}


def words(language: str) -> dict[str, Any]:
    """The word lists and sentence patterns of a language."""
    data: dict[str, Any] = json.loads((FOLDER / f"words_{language}.json").read_text("utf-8"))
    return data


def prose(language: str) -> list[str]:
    """Plain paragraphs of a language, one a line."""
    return (FOLDER / f"prose_{language}.txt").read_text("utf-8").splitlines()


class Scene:
    """A few things, people and a place of one language, from which texts are told."""

    def __init__(self, language: str, data: dict[str, Any], rng: random.Random) -> None:
        self.data = data
        self.rng = rng
        self.german = language == "de"
        self.place = self._place()
        self.people = [self._person() for _ in range(3)]
        self.things = [self._thing() for _ in range(3)]

    def sentence(self) -> str:
        """One sentence of the scene."""
        return self.fill(self._pick("sentences"))

    def text(self, sentences: int) -> str:
        """A section with a heading, sometimes with a list or a table."""
        heading = ("# ", "## ", "")[self.rng.randrange(3)] + self.fill(self._pick("headings"))
        told = [self.sentence() for _ in range(sentences)]
        parts = [heading, " ".join(told)]
        extra = self.rng.random()
        if extra < 0.15:
            parts[1] += "\n\n" + self._list() + "\n\n" + self.sentence()
        elif extra < 0.25:
            parts.append(self._table())
        elif extra < 0.45:
            parts[1] = _wrapped(parts[1], 90)
        return "\n\n".join(parts)

    def nonsense(self, count: int) -> str:
        """Words in no order, known and new ones."""
        choices = (self._new_word, self._person, self._place, lambda: self._pick("stuffs"))
        told = [self.rng.choice(choices)() for _ in range(count)]
        told += [str(self.rng.randint(2, 990))] * self.rng.randint(0, 1)
        return " ".join(told)

    def fill(self, pattern: str) -> str:
        """A pattern with its slots filled."""
        pick, rng = self._pick, self.rng
        thing, other = rng.sample(self.things, 2)
        kind = pick("kinds").split()
        gender, noun = kind if self.german else ("n", kind[0])
        adjective = pick("adjectives")
        role = pick("roles")
        slots = {
            "a_kind": self._a(gender, f"{adjective}{_ADJECTIVE_ENDS[gender]} {noun}")
            if self.german
            else self._a(gender, f"{adjective} {noun}"),
            "which_kind": _ARTICLES[gender]["nom"],
            "role": role,
            "role_art": f"{'die' if role.endswith('in') else 'der'} {role}",
            "place": self.place,
            "person": rng.choice(self.people),
            "surname": self._person(),
            "n": str(rng.randint(2, 990)),
            "n31": str(rng.randint(1, 31)),
            "hour": str(rng.randint(5, 12)),
            "hour2": str(rng.randint(13, 23)),
            "year": str(rng.randint(1400, 2020)),
        }
        for slot, key in _LISTS.items():
            slots[slot] = pick(key)
        slots["stuff_dat"] = _plural_dative(slots["stuff"])
        slots["unit_dat"] = slots["unit"] + "n" if slots["unit"].endswith("e") else slots["unit"]
        for name, (sort, word) in (("thing", thing), ("thing2", other)):
            slots |= self._forms(name, sort, word)
        return pattern.format(**slots).replace("ee Schuhe", "e Schuhe")

    def _pick(self, key: str) -> str:
        choice: str = self.rng.choice(self.data[key])
        return choice

    def _person(self) -> str:
        if self.rng.random() < 0.5:
            return self._new_word().capitalize()
        return self._pick("names") + self._pick("name_ends")

    def _place(self) -> str:
        first = self._new_word().capitalize() if self.rng.random() < 0.4 else self._pick("places")
        return first + self._pick("place_ends")

    def _new_word(self) -> str:
        """A word that exists in no language, so that the model learns to copy any letters."""
        syllables = [
            self._pick("onsets") + self._pick("vowels") for _ in range(self.rng.randint(1, 2))
        ]
        return "".join(syllables) + self._pick("codas")

    def _thing(self) -> tuple[str, str]:
        """A gender and an invented noun: a compound, or a thing with a name."""
        entry = self._pick("things").split()
        gender, noun = entry if self.german else ("n", entry[0])
        way = self.rng.random()
        if way < 0.6:
            first = self._pick("first") if way < 0.35 else self._new_word().capitalize()
            return gender, first + noun.lower() if self.german else f"{first.lower()} {noun}"
        name = self._person() if way < 0.8 else self._place()
        return gender, f"{name}-{noun}" if self.german else f"{name} {noun}"

    def _a(self, gender: str, words: str) -> str:
        if self.german:
            return f"{_ARTICLES[gender]['a']} {words}"
        return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"

    def _forms(self, name: str, gender: str, word: str) -> dict[str, str]:
        article = _ARTICLES[gender] if self.german else dict.fromkeys(_ARTICLES["n"], "the")
        genitive = "" if gender == "f" or not self.german else "es" if word[-1] in "szß" else "s"
        nominative = f"{article['nom']} {word}"
        return {
            name: nominative,
            name.capitalize(): nominative[0].upper() + nominative[1:],
            f"{name}_acc": f"{article['acc']} {word}",
            f"{name}_dat": f"{article['dat']} {word}",
            f"{name}_gen": f"{article['gen']} {word}{genitive}",
            f"a_{name}": self._a(gender, word),
            f"a_{name}_acc": f"{article['a_acc']} {word}" if self.german else self._a(gender, word),
        }

    def _list(self) -> str:
        entries = [
            f"{self._pick('numbers')} {self._pick('stuffs')}" for _ in range(self.rng.randint(2, 4))
        ]
        return "\n".join([self.fill(self._pick("leads")), *(f"- {entry}" for entry in entries)])

    def _table(self) -> str:
        rows = [self.data["columns"], ["---"] * 4]
        for _, word in self.things:
            coins = f"{self.rng.randint(2, 99)} {self._pick('coins')}"
            rows.append([word, self._pick("colours"), coins, self._place()])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


_LISTS = {
    "purpose": "purposes",
    "material": "materials",
    "material2": "materials",
    "colour": "colours",
    "day": "days",
    "month": "months",
    "unit": "units",
    "coin": "coins",
    "number": "numbers",
    "stuff": "stuffs",
    "stuff2": "stuffs",
    "position": "positions",
    "act": "acts",
    "people": "people",
}


def _plural_dative(word: str) -> str:
    return word if word.endswith("n") else word + "n"


def _wrapped(text: str, width: int) -> str:
    """The text in lines, as it comes out of a PDF."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
