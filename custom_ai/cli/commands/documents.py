"""`documents add | list | show | chunks | remove | search | embed | corpus | export`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from custom_ai.cli import foreground
from custom_ai.cli.arguments import Parsers, add_project, command, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.cli.progress import Progress
from custom_ai.documents import chunks, exporter, hybrid, library, store
from custom_ai.documents.counting import estimated
from custom_ai.documents.quality import quality, quality_of
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from custom_ai.runs import requests
from custom_ai.texts import t

_SEARCH_LIMIT = 10
_CHUNK_LIMIT = 50


def register(parsers: Parsers) -> None:
    """Add the commands."""
    documents = group(parsers, "documents")
    add = command(documents, "documents add", _add)
    add_project(add)
    add.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=t("cli.paths"))
    add_project(command(documents, "documents list", _list))
    show = command(documents, "documents show", _show)
    add_project(show)
    show.add_argument("document", metavar="DOC", help=t("cli.document"))
    inspect = command(documents, "documents chunks", _chunks)
    add_project(inspect)
    inspect.add_argument("document", nargs="?", metavar="DOC", help=t("cli.document"))
    inspect.add_argument("--limit", type=int, default=_CHUNK_LIMIT, help=t("cli.chunk_limit"))
    inspect.add_argument("--offset", type=int, default=0, help=t("cli.chunk_offset"))
    remove = command(documents, "documents remove", _remove)
    add_project(remove)
    remove.add_argument("document", metavar="DOC", help=t("cli.document"))
    find = command(documents, "documents search", _search)
    add_project(find)
    find.add_argument("query", metavar="QUERY", help=t("cli.query"))
    find.add_argument("--limit", type=int, default=_SEARCH_LIMIT, help=t("cli.limit"))
    find.add_argument("--mode", choices=get_args(hybrid.Mode), help=t("cli.search_mode"))
    turn = command(documents, "documents embed", _embed)
    add_project(turn)
    turn.add_argument("--model", default="", metavar="MODEL", help=t("cli.embedding_model"))
    turn.add_argument("--off", action="store_true", help=t("cli.embedding_off"))
    place = command(documents, "documents corpus", _corpus)
    add_project(place)
    place.add_argument("name", nargs="?", metavar="NAME", help=t("cli.corpus_name"))
    place.add_argument("--off", action="store_true", help=t("cli.corpus_off"))
    out = command(documents, "documents export", _export)
    add_project(out)
    out.add_argument("file", nargs="?", type=Path, metavar="FILE", help=t("cli.export_file"))
    out.add_argument(
        "--format",
        choices=exporter.names(),
        default=exporter.DEFAULT,
        help=t("cli.export_documents_format"),
    )


def _add(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    run, stopped = foreground.do(project, "documents", requests.documents(args.paths, project))
    if stopped:
        return stopped
    result: dict[str, Any] = run.result() or {}
    failed = result["failed"]
    text = t("cli.added", **{k: v for k, v in result.items() if k != "failed"})
    lines = [text, *(f"! {f['file']}: {f['error']['message']}" for f in failed)]
    nothing = failed and not result["added"] and not result["unchanged"]
    if nothing:
        # Every file failed: the first failure is the answer, the others stand in the lines.
        first = failed[0]["error"]
        error = UserError(first["code"], **first["values"])
        return Outcome(result, "\n".join(lines[2:]), code=1, error=error)
    return Outcome(result, "\n".join(lines))


def _list(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    found = library.list_all(project)
    signs = quality(project)
    verdicts = {d.id: t(f"documents.quality.{signs[d.id].verdict}") for d in found}
    rows = [
        (d.filename, d.pages, d.chunks, signs[d.id].characters, d.language, verdicts[d.id], d.id)
        for d in found
    ]
    columns = ("file", "pages", "chunks", "characters", "language", "quality", "id")
    lines = [
        table(rows, [t(f"cli.column_{c}") for c in columns]) if rows else t("cli.no_documents")
    ]
    lines += [f"! {d.filename}: {t(reason)}" for d in found for reason in signs[d.id].reasons]
    data = [{**asdict(d), "quality": signs[d.id].as_json()} for d in found]
    return Outcome(data, "\n".join(lines))


def _show(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    document = library.find(project, args.document)
    found = quality_of(project, document.id)
    rows: list[tuple[str, object]] = [
        (t("cli.column_file"), document.filename),
        (t("cli.column_id"), document.id),
        (t("cli.column_pages"), found.pages),
        (t("ui_documents.sign_empty_pages"), found.empty_pages),
        (t("ui_documents.sign_removed"), found.removed_lines),
        (t("cli.column_characters"), found.characters),
        (t("cli.column_language"), found.language or None),
        (t("cli.column_chunks"), found.chunks),
        (
            t("ui_documents.sign_tokens"),
            f"{'≈ ' * found.tokens_estimated}{found.tokens_per_chunk:.0f}",
        ),
        (t("ui_documents.sign_damaged"), f"{found.damaged:.2%}"),
        (t("ui_documents.sign_glued"), f"{found.glued:.2%}"),
        (t("ui_documents.sign_letters"), f"{found.letters:.0%}"),
        (t("ui_documents.sign_words"), f"{found.word_length:.1f}"),
        (t("ui_documents.sign_hidden"), found.hidden or None),
        (t("cli.column_quality"), t(f"documents.quality.{found.verdict}")),
    ]
    shown = [row for row in rows if row[1] is not None]
    lines = [table(shown), *(f"! {t(reason)}" for reason in found.reasons)]
    return Outcome({**asdict(document), "quality": found.as_json()}, "\n".join(lines))


def _tokens(count: int, is_estimate: bool) -> str:
    return t("cli.tokens", tokens=f"{'≈ ' * is_estimate}{count}")


def _chunks(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    document = library.find(project, args.document).id if args.document else None
    page = chunks.page(project, document, args.offset, args.limit)
    lines = [t("cli.chunks_shown", shown=len(page.items), first=page.offset, total=page.total)]
    for chunk in page.items:
        place = [f"{chunk.filename} #{chunk.chunk_index}"]
        if chunk.page_start is not None:
            place.append(t("cli.page", page=chunk.page_start))
        place += [*chunk.heading_path, _tokens(chunk.n_tokens, estimated(project, chunk.tokenizer))]
        lines += ["", " · ".join(place), chunk.text.strip()]
    return Outcome(page.as_json(), "\n".join(lines))


def _remove(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    with writing(project, "documents remove"):
        removed = library.remove(project, args.document)
    return Outcome({"removed": removed.filename}, t("cli.removed", file=removed.filename))


def _search(args: argparse.Namespace) -> Outcome:
    found = hybrid.find(projects.find(args.project), args.query, args.limit, args.mode)
    if found.shortfall:
        Progress().say(t("cli.searched_words_only", reason=found.shortfall))
    lines = []
    for hit in found.hits:
        place = [hit.filename]
        if hit.page is not None:
            place.append(t("cli.page", page=hit.page))
        lines.append(" · ".join([*place, *hit.heading_path]))
        lines.append(f"    {' '.join(hit.snippet.split())}")
    return Outcome([hit.as_json() for hit in found.hits], "\n".join(lines) or t("cli.no_hits"))


def _embed(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    if args.off:
        with writing(project, "documents embed"):
            project.change(embedding_model="")
            with open_store(project) as store:
                store.vectors.drop()
        return Outcome({"embedded": 0}, t("cli.embedding_is_off"))
    options = requests.embedding(project, args.model)
    project.change(embedding_model=options["model"])
    run, stopped = foreground.do(project, "embed", options)
    if stopped:
        return stopped
    result: dict[str, Any] = run.result() or {}
    return Outcome(result, t("cli.embedded", **result))


def _corpus(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    if args.name or args.off:
        with writing(project, "documents corpus"):
            store.choose(project, "" if args.off else args.name)
    corpus = project.config.corpus
    with open_store(project) as there:
        documents, chunks = there.counts()
    text = t("cli.corpus_is", corpus=corpus, documents=documents, chunks=chunks)
    data = {"corpus": corpus, "documents": documents, "chunks": chunks}
    own = t("cli.corpus_is_own", documents=documents, chunks=chunks)
    return Outcome(data, text if corpus else own)


def _export(args: argparse.Namespace) -> Outcome:
    target = args.file.expanduser().absolute() if args.file else None
    path = exporter.export(projects.find(args.project), target, args.format)
    return Outcome(
        {"path": str(path), "format": args.format}, t("cli.exported_documents", path=path)
    )
