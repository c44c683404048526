"""Projects: a folder each, its configuration and its database."""
