"""Dagster's view of this very repository: the graph is dvc.yaml's, and loading it takes no torch."""

import subprocess
import sys
import tomllib

import dagster as dg
import pytest

from orchestration.bridge.dvc import asset_key
from orchestration.bridge.project import read_project
from tests.orchestration.running import REPOSITORY, environment
from visnet import zoo
from visnet.pipeline.stage import STAGES

KEYS = [asset_key(stage) for stage in STAGES]
EXPERIMENTS = dg.AssetKey("experiments")
FEED_BATCHES = dg.AssetKey("feed_batches")
# When a person asks for it.
LEARNT = {"triplets", "trained_model", "localizer", "taxonomy_model", "evaluation", "proposed_boxes"}


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)  # a person starts Dagster in the workspace
        from orchestration.definitions import defs

        return defs()


def test_assets_are_the_stages_and_edges_are_dvcs(defs: dg.Definitions) -> None:
    graph, stages = defs.resolve_asset_graph(), read_project(REPOSITORY)
    assert list(stages) == list(STAGES)  # the line's order, from its edges
    assert graph.get_all_asset_keys() == {*KEYS, EXPERIMENTS, FEED_BATCHES}
    for name, stage in stages.items():
        node = graph.get(asset_key(name))
        assert node.parent_keys == {asset_key(read) for read in stage.reads}
        assert (node.description, node.code_version) == (stage.desc, stage.code_version)


def test_jobs_gates_and_switches(defs: dg.Definitions) -> None:
    selected = {
        job: {key.to_user_string() for key in defs.resolve_job_def(job).asset_layer.selected_asset_keys}
        for job in ("refresh", "retrain", "everything")
    }
    assert selected["refresh"] == set(STAGES) - LEARNT
    of_the_catalog = {"raw_images", "crops", "photo_quality"}
    assert selected["retrain"] == set(STAGES) - of_the_catalog - {"publish"}  # a new model is looked at first
    assert selected["everything"] == set(STAGES)
    gates = {(key.asset_key.to_user_string(), key.name) for key in defs.resolve_asset_graph().asset_check_keys}
    assert gates == {
        ("raw_images", "lost_share"),
        ("crops", "lost_share"),
        ("crops", "products_in_two_splits"),
        ("knn_results", "self_hit_share"),
        ("evaluation", "recall_at_1"),
        ("publish", "served_is_checked_out"),
    }
    graph = defs.resolve_asset_graph()
    assert {key.name for key in graph.asset_check_keys if not graph.get(key).blocking} == {"served_is_checked_out"}


def test_whatever_touches_the_catalog_is_in_one_pool(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    assert {key for key in graph.get_all_asset_keys() if graph.get(key).pools != {"catalog"}} == {EXPERIMENTS}
    assert graph.get(EXPERIMENTS).pools == {"experiments"}, "no refresh waits hours for one"
    steps = defs.resolve_job_def("maintain").all_node_defs
    assert {pool for step in steps for pool in step.pools} == {"catalog", "experiments"}, "it rewrites what both read"


def test_batches_of_the_feed_stand_beside_the_line(defs: dg.Definitions) -> None:
    node = defs.resolve_asset_graph().get(FEED_BATCHES)
    assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
    assert not node.parent_keys | node.child_keys


def test_experiments_stand_beside_the_line_one_partition_per_zoo_entry(defs: dg.Definitions) -> None:
    node = defs.resolve_asset_graph().get(EXPERIMENTS)
    assert node.partitions_def is not None
    assert node.partitions_def.get_partition_keys() == zoo.names()
    assert node.parent_keys == {asset_key("crops"), asset_key("triplets")}
    assert not node.child_keys
    assert node.group_name == defs.resolve_asset_graph().get(asset_key("crops")).group_name


def test_the_launchpad_of_experiments_shows_a_setting_that_changes_nothing(defs: dg.Definitions) -> None:
    schema = defs.resolve_implicit_global_asset_job_def().get_node_named("experiments").definition.config_schema
    seed = tomllib.loads((REPOSITORY / "params.toml").read_text())["trained_model"]["seed"]
    assert schema.config_type.fields["settings"].default_value == [f"trained_model.seed={seed}"]


def test_text_selections_parse() -> None:
    """Fails where an older hydra-core has brought an antlr that Dagster's parser was not made for."""
    assert dg.AssetSelection.from_string("*") == dg.AssetSelection.all()


def test_loading_the_definitions_imports_no_library() -> None:
    script = (
        "import sys; from orchestration.definitions import defs; assert defs().resolve_asset_graph();"
        "heavy = {'torch', 'visnet', 'kernels', 'lance', 'mlflow', 'PIL'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
