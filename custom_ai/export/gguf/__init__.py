"""GGUF files, written and quantised by our own code on top of the `gguf` package."""
