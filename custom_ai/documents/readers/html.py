"""HTML: the content of a saved web page, with its headings, lists, tables and code."""

from pathlib import Path

from custom_ai.documents import encoding, signature, unseen, webpage
from custom_ai.documents.reader import OnPage, Parsed, no_matter


class HtmlReader:
    """Reads web pages and manuals in HTML and XHTML."""

    suffixes = (".html", ".htm", ".xhtml")
    version = 2

    def unavailable(self) -> str | None:
        """Nothing beyond Python is needed."""
        return None

    def read(self, path: Path, on_page: OnPage = no_matter) -> Parsed:
        """Read the file; raises UserError when it holds no text."""
        signature.expect(path, "HTML")
        text, headings = webpage.read(encoding.decode_markup(path.read_bytes(), path.name))
        return unseen.found(Parsed(text, None, headings, "text/html"))


reader = HtmlReader()
