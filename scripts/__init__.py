"""Programs that make what lies in the repository: the starter model and the sample project."""
