"""The gates: what a stage's report must hold before anything downstream may run, as dvc.yaml has them."""

from orchestration.bridge.gates import gates_of
from orchestration.defs.assets import STAGES

GATES = [gate for stage in STAGES.values() for gate in gates_of(stage)]
