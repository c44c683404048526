"""What the page will need, given out while the app is still being loaded.

Importing Gradio takes seconds, in which the browser has nothing to do. It fetches the page's files
meanwhile, so that they lie in its cache when the page comes.
"""

import importlib.util
from functools import cache
from pathlib import Path

_STATIC = Path(__file__).parent / "static"
_KINDS = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2"}

# Gradio's file names hold a checksum, so they may be kept; ours change with every version.
_FOREVER, _FOR_NOW = "private, max-age=31536000, immutable", "private, max-age=60"


def paths(lang: str) -> list[str]:
    """The addresses of all files a page of this language loads."""
    own = [f"/static/{path.name}" for path in sorted(_STATIC.glob("*.[jc]s*"))]
    return [*own, *(f"/{lang}/assets/{name}" for name in gradio_files())]


def find(path: str) -> tuple[bytes, str, str] | None:
    """Content, media type and cache rule of one of these files; None for every other path."""
    folder, _, name = path.rpartition("/")
    if folder == "/static" and name in {file.name for file in _STATIC.glob("*.[jc]s*")}:
        return (_STATIC / name).read_bytes(), _KINDS[Path(name).suffix], _FOR_NOW
    file = _assets() / name
    if folder.endswith("/assets") and name in gradio_files() and file.exists():
        return file.read_bytes(), _KINDS[file.suffix], _FOREVER
    return None


@cache
def gradio_files() -> frozenset[str]:
    """Names of those files of Gradio that the page loads; scripts/page_files.py writes the list."""
    text = (_STATIC / "page_files.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


@cache
def _assets() -> Path:
    # Where the package lies, without importing it.
    found = importlib.util.find_spec("gradio")
    assert found and found.origin
    return Path(found.origin).parent / "templates" / "frontend" / "assets"
