"""Kinds of stores, one file or folder each; see `custom_ai/documents/store.py`."""
