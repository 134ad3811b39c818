"""Dagster and MLflow as one program, behind a guard: `python -m orchestration.ui`."""
