"""JSON lines, one chunk a line: for LlamaIndex, LangChain and Hugging Face datasets."""

import json
from pathlib import Path

from custom_ai.documents.contents import Contents

# How every line begins.
_BEGIN = b'{"id": "'


class JsonlExporter:
    """{"id", "text", "metadata"} a line; the id stays the same while file and chunking do."""

    filename = "rag_export.jsonl"
    media_type = "application/jsonl"

    def unavailable(self) -> str | None:
        """None: it needs nothing."""
        return None

    def write(self, documents: Contents, path: Path) -> None:
        """Write all chunks."""
        with open(path, "w", encoding="utf-8", newline="\n") as stream:
            for chunk in documents.chunks():
                metadata = chunk.flat_metadata()
                line = {
                    "id": f"{metadata['source_sha256']}-{chunk.chunk_index}",
                    "text": chunk.chunk_text,
                    "metadata": metadata,
                }
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")

    def count(self, path: Path) -> int:
        """How many chunks a file holds."""
        with open(path, "rb") as stream:
            return sum(line.startswith(_BEGIN) for line in stream)


exporter = JsonlExporter()
