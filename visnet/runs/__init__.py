"""One run of a stage, or of an experiment: its locks, its console, its record."""
