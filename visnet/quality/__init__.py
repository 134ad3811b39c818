"""Which photos mislead: faults planted in good photos, what learns to see them, and verdicts in three bands."""
