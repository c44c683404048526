"""The documents as a file for other programs: written, shown, downloaded."""

import threading
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import FileResponse, HTMLResponse

from custom_ai.documents import exporter, library
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import render
from custom_ai.ui.reveal import reveal

router = APIRouter(
    prefix="/api/documents/export", route_class=Spoken, default_response_class=HTMLResponse
)

Format = Annotated[str, Form()]

# Two windows that ask at the same moment must not write one file twice.
_exporting = threading.Lock()


@router.get("")
def exported(project: Here, format: str = exporter.DEFAULT) -> str:
    """Where the exported file of a format lies, if there is one."""
    path = exporter.place(project, format)
    there = path.exists()
    return render(
        "documents_export",
        path=path if there else None,
        bytes=path.stat().st_size if there else 0,
        current=exporter.is_current(project, format),
        documents=len(library.list_all(project)),
        missing=exporter.find(format).unavailable(),
        project=project,
        format=format,
    )


@router.post("")
def make_export(project: Here, format: Format = exporter.DEFAULT) -> str:
    """Write the file that other programs can read."""
    with _exporting:
        exporter.export(project, name=format)
    return exported(project, format)


@router.get("/file")
def download(project: Here, format: str = exporter.DEFAULT) -> FileResponse:
    """The exported file, as a download."""
    path = _file(project, format)
    kind = exporter.find(format).media_type
    return FileResponse(path, media_type=kind, filename=f"{project.slug}-{path.name}")


@router.post("/reveal", status_code=204)
def show_export(project: Here, format: Format = exporter.DEFAULT) -> None:
    """Show the exported file in the file manager of the system."""
    reveal(_file(project, format))


def _file(project: Project, format: str) -> Path:
    path = exporter.place(project, format)
    if not path.exists():
        raise UserError("ui_documents.not_exported")
    return path
