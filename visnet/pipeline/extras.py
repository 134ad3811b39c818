"""Which modules only the extra [line] installs: where the search service alone is installed, they are absent."""

LINE = frozenset(
    {
        "alembic",
        "fsspec",
        "lightning_fabric",
        "mlflow",
        "pytorch_metric_learning",
        "sklearn",
        "sqlalchemy",
        "tomlkit",
    }
)


def lacking(error: ModuleNotFoundError) -> str | None:
    """Say in a line what to install for a module that was not found, None where no extra brings it."""
    module = (error.name or "").partition(".")[0]
    if module not in LINE:
        return None
    return f"{module} is not installed, which visnet's extra [line] brings: `pip install 'visnet[line]'`"
