"""Documents: reading files, cutting them into chunks, finding and exporting the chunks."""
