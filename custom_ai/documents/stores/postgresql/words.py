"""The words of the chunks in PostgreSQL: its full-text index, filled with the words we cut.

PostgreSQL's own parser and its dictionaries would cut and change words otherwise than a project's
own file does, and a search would find something else there. So words come from `vocabulary`, and
chunks are ranked by the same formula (Robertson and Zaragoza, The Probabilistic Relevance
Framework: BM25 and Beyond, with FTS5's constants).
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from custom_ai.documents.store import Term
from custom_ai.documents.stores.postgresql.connection import Database, array
from custom_ai.documents.vocabulary import as_indexed, folded, words_of

# PostgreSQL takes no words over 2046 bytes, and no place beyond the 16383rd.
_LONGEST = 500
_LAST_PLACE = 16_383
# Of more matches than this only the best by PostgreSQL's own measure are weighed exactly.
_WEIGHED = 1_000
# What headings, names and text weigh (A, B, D), as in a project's own file; and to the largest.
_WEIGH = "CASE label WHEN 'A' THEN 3 WHEN 'B' THEN 2 ELSE 1 END"
_WEIGHTS = "{0.333, 0, 0.667, 1}"

_BEST = """
    WITH asked AS (
        SELECT * FROM unnest(
            CAST(:words AS text[]), CAST(:begins AS boolean[]), CAST(:idfs AS float8[])
        ) WITH ORDINALITY AS asked (word, begins, idf, place)
    ), found AS MATERIALIZED (
        SELECT id, words, n_words FROM documents
        WHERE words @@ CAST(:query AS tsquery) AND id % :part = 0
        ORDER BY {measure} DESC LIMIT {weighed}
    ), counted AS (
        SELECT found.id, n_words, idf, place, sum({weigh}) AS often
        FROM found, unnest(found.words) AS held (lexeme, positions, weights), asked,
            unnest(held.weights) AS label
        WHERE (lexeme = word OR begins AND starts_with(lexeme, word)) AND label = ANY(:labels)
        GROUP BY found.id, n_words, idf, place
    )
    SELECT id FROM counted GROUP BY id
    ORDER BY sum(
        idf * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * n_words / CAST(:mean AS float8)))
    ) DESC, id
    LIMIT :most
"""


class Held(NamedTuple):
    """The words of a chunk: as the text of a tsvector, each once, and how many there are."""

    vector: str
    words: set[str]
    n_words: int


def held(chunk_text: str, filename: str, headings: Sequence[str]) -> Held:
    """Cut a chunk, the name of its file and its headings into words."""
    places: dict[str, list[str]] = {}
    count = 0
    for label, text in (("", chunk_text), ("B", filename), ("A", " ".join(headings))):
        for word in words_of(text):
            count += 1
            for start in range(0, len(word), _LONGEST):
                piece = word[start : start + _LONGEST]
                places.setdefault(piece, []).append(f"{min(count, _LAST_PLACE)}{label}")
    vector = " ".join(f"{_quoted(word)}:{','.join(at)}" for word, at in places.items())
    return Held(vector, set(places), count)


def learn(db: Database, chunks: Iterable[Held]) -> None:
    """Take in the words of new chunks; inside the transaction that writes them."""
    chunks = list(chunks)
    frequency = Counter(word for chunk in chunks for word in chunk.words)
    if frequency:
        db.run(
            "INSERT INTO terms SELECT * FROM unnest(CAST(:words AS text[]),"
            " CAST(:folded AS text[]), CAST(:counts AS bigint[])) AS new (word, folded, chunks)"
            " ON CONFLICT (word) DO UPDATE SET chunks = terms.chunks + excluded.chunks",
            words=array(frequency),
            folded=array(folded(word) for word in frequency),
            counts=list(frequency.values()),
        )
    count = sum(chunk.n_words for chunk in chunks)
    totals = "UPDATE corpus SET chunks = chunks + :chunks, words = words + :words"
    db.run(totals, chunks=len(chunks), words=count)


def forget(db: Database, sources: Sequence[int]) -> None:
    """Forget the words of these documents' chunks, which are about to go or to change."""
    db.run(
        "UPDATE terms SET chunks = terms.chunks - gone.chunks FROM (SELECT word, count(*) AS chunks"
        " FROM documents, unnest(tsvector_to_array(words)) AS word"
        " WHERE source_id = ANY(:sources) GROUP BY word) AS gone WHERE terms.word = gone.word",
        sources=list(sources),
    )
    db.run("DELETE FROM terms WHERE chunks <= 0")
    db.run(
        "UPDATE corpus SET chunks = corpus.chunks - gone.chunks, words = corpus.words - gone.words"
        " FROM (SELECT count(*) AS chunks, coalesce(sum(n_words), 0) AS words FROM documents"
        " WHERE source_id = ANY(:sources)) AS gone",
        sources=list(sources),
    )


class PostgresWords:
    """What `store.Words` promises."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def frequency(self, words: Iterable[str], begins: bool = False) -> int:
        """In how many chunks words stand, each counted by itself; begins: or longer ones."""
        wanted = sorted({as_indexed(word)[:_LONGEST] for word in words})
        if not wanted:
            return 0
        last = [f"{word}\U0010ffff" if begins else word for word in wanted]
        total = self._db.value(
            "SELECT coalesce(sum(chunks), 0) FROM terms JOIN unnest(CAST(:first AS text[]),"
            " CAST(:last AS text[])) AS asked (first, last)"
            " ON word >= first AND word <= last",
            first=array(wanted),
            last=array(last),
        )
        return int(total)

    def containing(self, part: str, limit: int) -> list[tuple[str, str]]:
        """Words that hold a part, as (word, as it is compared)."""
        rows = self._db.run(
            "SELECT word, folded FROM terms WHERE folded LIKE :part AND length(word) > 2"
            " AND word ~ '[^0-9]' LIMIT :most",
            part=f"%{part}%",
            most=limit,
        )
        return [(word, compared) for word, compared in rows]

    def count(self, terms: Sequence[Term]) -> int:
        """How many chunks hold all the words."""
        counts = "SELECT count(*) FROM documents WHERE words @@ CAST(:query AS tsquery)"
        return int(self._db.value(counts, query=_query(terms, True)))

    def best(
        self, terms: Sequence[Term], every: bool, limit: int, names: bool = False, part: int = 1
    ) -> list[int]:
        """The numbers of the chunks that fit best, the best first."""
        chunks, mean = self._db.run(
            "SELECT chunks, CAST(words AS float8) / greatest(chunks, 1) FROM corpus"
        )[0]
        phrases = [(word, term.begins) for term in terms for word in _lexemes(term)]
        hits = self._hits(phrases)
        idfs = [max(math.log((chunks - n + 0.5) / (n + 0.5)), 1e-6) for n in hits]
        measure = f"ts_rank('{_WEIGHTS}', words, CAST(:any AS tsquery))"
        statement = _BEST.format(measure=measure, weighed=_WEIGHED, weigh=_WEIGH)
        rows = self._db.run(
            statement,
            words=array(word for word, _ in phrases),
            begins=[begins for _, begins in phrases],
            idfs=idfs,
            query=_query(terms, every, "AB" if names else ""),
            any=_query(terms, False),
            part=part,
            labels=["A", "B"] if names else ["A", "B", "C", "D"],
            mean=max(mean, 1.0),
            most=limit,
        )
        return [row[0] for row in rows]

    def _hits(self, phrases: Sequence[tuple[str, bool]]) -> list[int]:
        """In how many chunks each of them stands."""
        rows = self._db.run(
            "SELECT word, chunks FROM terms WHERE word = ANY(CAST(:words AS text[]))",
            words=array(word for word, _ in phrases),
        )
        known = {word: int(chunks) for word, chunks in rows}
        counts = "SELECT count(*) FROM documents WHERE words @@ CAST(:query AS tsquery)"
        return [
            int(self._db.value(counts, query=f"{_quoted(word)}:*"))
            if begins
            else known.get(word, 0)
            for word, begins in phrases
        ]


def _query(terms: Sequence[Term], every: bool, labels: str = "") -> str:
    """An expression that PostgreSQL can't misread: quoted words only."""

    def one(term: Term) -> str:
        label = f":{labels}{'*' if term.begins else ''}" if labels or term.begins else ""
        return "(" + " | ".join(f"{_quoted(word)}{label}" for word in _lexemes(term)) + ")"

    return (" & " if every else " | ").join(map(one, terms))


def _lexemes(term: Term) -> list[str]:
    return [as_indexed(word)[:_LONGEST] for word in term.spellings]


def _quoted(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"
