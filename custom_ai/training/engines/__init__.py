"""The engines: one file each, named like the engine, with its object engine."""
