"""One file per format that documents are exported in; see custom_ai/documents/exporter.py."""
