"""Dagster's view of the line: assets, checks and jobs read from dvc.yaml, dvc.lock and reports/."""
