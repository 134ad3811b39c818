"""Visual search for a shop's catalog: photos in, the most similar products out."""

import os

__version__ = "0.1.0"

# Read by OpenMP when torch is imported. Left to itself, a thread that waits for the others spins; where as much as one
# other process is busy it spins in the place of the thread it waits for, and a network embeds at a fifth of its speed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
