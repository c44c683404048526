"""One file per export format; its name is the format's name."""
