"""Long work: each run is a folder and a process; its state is always read from the folder."""
