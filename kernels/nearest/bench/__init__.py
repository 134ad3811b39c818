"""Time `nearest` beside its peers, in one process, after its tests: `python -m kernels.nearest.bench`."""
