"""Any DVC project as Dagster assets: its stages, its lock, its reports, its runs."""
