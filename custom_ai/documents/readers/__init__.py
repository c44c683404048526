"""One file per kind of document; each holds one object, `reader`."""
