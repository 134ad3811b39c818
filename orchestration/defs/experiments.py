"""The zoo, one partition per entry: each is trained and evaluated beside the line, on the line's own triplets."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
from pydantic import Field

from orchestration.bridge.dvc import Dvc
from orchestration.bridge.project import Stage
from orchestration.bridge.provenance import asset_key
from orchestration.bridge.report import page, read_report
from orchestration.defs.assets import STAGES as LINE
from orchestration.line.policy import EXPERIMENTS

KEY = "experiments"
ENTRIES = "visnet/zoo"  # an entry's name is its file's
STAGES = ("evaluation", "trained_model")  # whose reports say what came of it


def example(line: Mapping[str, Stage]) -> list[str]:
    """Return a setting that changes nothing, as an example: the launchpad shows defaults, and no other examples."""
    stage = line.get("trained_model")
    for tables in stage.params.values() if stage else ():
        own = tables.get("trained_model")
        if isinstance(own, Mapping) and "seed" in own:
            return [f"trained_model.seed={own['seed']}"]
    return []


class Settings(dg.Config):
    """What `python -m visnet experiment` is told besides the name."""

    settings: list[str] = Field(
        default=example(LINE),
        description='Laid over params.toml: "trained_model.epochs=3", "trained_model.precision=bf16", …',
    )
    again: bool = Field(default=False, description="Also what was done before with the same inputs")


def experiment_asset(root: Path) -> dg.AssetsDefinition:
    """Make the asset of all experiments of the project at `root`, partitioned by the zoo entries there are."""
    names = sorted(path.stem for path in (root / ENTRIES).glob("*.toml"))

    @dg.asset(
        key=KEY,
        deps=[asset_key("crops"), asset_key("triplets")],
        partitions_def=dg.StaticPartitionsDefinition(names),
        description="Training and evaluation of a zoo entry, beside the line; one MLflow run each",
        group_name="visnet",  # the line's: Dagster folds several groups away
        kinds={"pytorch", "mlflow"},
        pool=EXPERIMENTS,  # it writes none of the line's tables, and reads the version that stood when it began
    )
    def _materialize(context: dg.AssetExecutionContext, config: Settings, dvc: Dvc) -> dg.MaterializeResult[None]:
        name, stages = context.partition_key, dvc.stages()
        options = [word for setting in config.settings for word in ("-S", setting)] + ["--again"] * config.again
        dvc.command(context.run.run_id, "experiment", name, *options)
        reports = dvc.reports_path / KEY / name
        charts = [(plot, reports / Path(plot.file).name) for stage in STAGES for plot in stages[stage].plots]
        version = str(read_report(reports / "evaluation.json")["digest"])
        return dg.MaterializeResult(data_version=dg.DataVersion(version), metadata=page(reports, STAGES, charts))

    return _materialize


experiments = experiment_asset(Path.cwd())
