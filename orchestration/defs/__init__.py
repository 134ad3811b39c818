"""What Dagster loads: every asset, check, job, schedule, sensor and resource in the modules of this folder."""
